/** A measurement too long for every change: run by hand, its outcome committed under docs/campaigns. */
export interface Campaign {
  /** What it shows, in a sentence or two of Markdown. */
  readonly about: string
  /** Its options with their defaults: `--name value`. */
  readonly options: Readonly<Record<string, string>>
  run(options: Readonly<Record<string, string>>): Promise<Outcome>
}

export interface Outcome {
  /** What has to hold, each by itself. */
  readonly checks: readonly Check[]
  /** Markdown, without a heading: tables and sentences. */
  readonly figures: string
}

export interface Check {
  readonly name: string
  readonly ok: boolean
}

/** A Markdown table; columns of numbers are aligned to the right. */
export function markdownTable(head: readonly string[], rows: ReadonlyArray<readonly (string | number)[]>): string {
  const numeric = head.map((_, column) => rows.every((row) => typeof row[column] === 'number'))
  const lines = [head, head.map((_, column) => (numeric[column] ? '--:' : '---')), ...rows]
  return lines
    .map((cells) => `| ${cells.map((cell) => (typeof cell === 'number' ? cell.toLocaleString('en') : cell)).join(' | ')} |`)
    .join('\n')
}
