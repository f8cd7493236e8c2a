/** One thing that is wrong in the configuration, with its place and the way out. */
export interface ConfigProblem {
  /** The file as it was given, or the environment variable as `$NAME`. */
  readonly file: string
  /** From 1; undefined where the problem has no place in a file, as with an environment variable. */
  readonly line: number | undefined
  readonly column: number | undefined
  /** The setting, such as `listeners[0].port`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  /** What to do about it. */
  readonly remedy: string
}

/** `homeserver.yaml:12:3: listeners[0].port: expected number …`, and the remedy on a line of its own. */
export function formatProblem(problem: ConfigProblem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== undefined).join(':')
  const what = problem.path === '' ? problem.message : `${problem.path}: ${problem.message}`
  return `${place}: ${what}\n    -> ${problem.remedy}`
}

/** The configuration cannot be used. All problems are reported at once; the place is that of the first. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[]
  readonly file: string
  readonly line: number | undefined
  readonly column: number | undefined
  readonly path: string
  readonly remedy: string

  constructor(problems: readonly [ConfigProblem, ...ConfigProblem[]]) {
    super(problems.map(formatProblem).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
    const first = problems[0]
    this.file = first.file
    this.line = first.line
    this.column = first.column
    this.path = first.path
    this.remedy = first.remedy
  }
}
