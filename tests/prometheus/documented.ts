import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const docs = join(import.meta.dirname, '..', '..', 'docs')

/** A metric as docs/metrics.md has it. */
export interface Documented {
  readonly name: string
  readonly type: string
  readonly labels: readonly string[]
}

/** Cells of the lines of tables that begin with code, under a heading or anywhere. */
function tableLines(file: string, heading = ''): string[][] {
  const text = readFileSync(join(docs, file), 'utf8')
  const section = heading === '' ? text : (text.split(`\n## ${heading}\n`)[1] ?? '').split('\n## ')[0]
  return (section as string)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(2, -2).split(/ \| | \|(?= )/))
}

const codes = (cell: string | undefined) => [...(cell ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] as string)

export function documentedMetrics(): Documented[] {
  return tableLines('metrics.md').map(([name, type, labels]) => ({
    name: codes(name)[0] as string,
    type: (type ?? '').trim(),
    labels: codes(labels),
  }))
}

/** The expressions that operators are told to alert on. */
export function alertExpressions(): string[] {
  return tableLines(join('how-to', 'monitor.md'), 'What to alert on').flatMap(([signs]) => codes(signs))
}
