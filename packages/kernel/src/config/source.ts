import { readFileSync } from 'node:fs'
import { type Document, isMap, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml'
import { ConfigError, type ConfigProblem } from './error.ts'

/** A place in the configuration: keys of maps and indices of lists. */
export type Path = readonly (string | number)[]
export type Raw = { [key: string]: unknown }

/** Where aliases are that have no anchor before them: YAML reads an unquoted password that begins with `*` as one. */
function unanchoredAliases(document: Document.Parsed): number[] {
  const found: number[] = []
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) === undefined) found.push(alias.range?.[0] ?? 0)
    },
  })
  return found
}

/** @throws ConfigError for aliases that multiply each other without end */
function valuesOf(document: Document.Parsed, problemAt: (offset: number, message: string, remedy: string) => ConfigProblem): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 }) as unknown
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    throw new ConfigError([problemAt(0, error.message, 'write values out instead of aliases (*name)')])
  }
}

/** `listeners[0].port` */
export function formatPath(path: Path): string {
  let text = ''
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`
  return text
}

/** The value at a path, by own properties only (R43). */
export function valueAt(root: unknown, path: Path): unknown {
  let value = root
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Raw)[part]
  }
  return value
}

/** Takes the key at a path away. */
export function deleteAt(root: Raw, path: Path): void {
  const parent = valueAt(root, path.slice(0, -1))
  const key = path.at(-1)
  if (typeof parent === 'object' && parent !== null && key !== undefined) delete (parent as Raw)[key]
}

/**
 * Sets a value, making maps and lists on the way.
 * @returns false when something that is no map or list stands in the way, or an item would leave a gap before it
 */
export function setAt(root: Raw, path: Path, value: unknown): boolean {
  let at: Raw = root
  for (const [index, part] of path.entries()) {
    if (Array.isArray(at) && (typeof part !== 'number' || part > at.length)) return false
    if (index === path.length - 1) {
      put(at, part, value)
      return true
    }
    const next = Object.hasOwn(at, part) ? at[part] : undefined
    if (next === undefined || next === null) put(at, part, typeof path[index + 1] === 'number' ? [] : {})
    else if (typeof next !== 'object') return false
    at = at[part] as Raw
  }
  return false
}

/** Defines an own property, whatever its name. */
function put(target: Raw, key: string | number, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true })
}

/**
 * What was written, before any schema: one YAML file, environment variables laid over it, and where each value came from.
 * Sources are told apart only for the sake of messages.
 */
export class ConfigSource {
  readonly values: Raw
  readonly #file: string
  readonly #locate: (path: Path) => { line: number; column: number } | undefined
  readonly #variables: { readonly path: Path; readonly name: string }[] = []
  readonly #moved: { readonly path: Path; readonly written: Path }[] = []

  private constructor(file: string, values: Raw, locate: (path: Path) => { line: number; column: number } | undefined) {
    this.#file = file
    this.values = values
    this.#locate = locate
  }

  /** Reads a YAML file. Throws ConfigError when it cannot be read or is no YAML map. */
  static fromFile(file: string): ConfigSource {
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? String(error)
      throw new ConfigError([
        {
          file,
          line: undefined,
          column: undefined,
          path: '',
          message: `cannot be read: ${reason}`,
          remedy: 'create it with `weft generate-config`, or give its path by --config or $WEFT_CONFIG',
        },
      ])
    }
    return ConfigSource.fromText(file, text)
  }

  /** Parses YAML text; `file` is the name used in messages. */
  static fromText(file: string, text: string): ConfigSource {
    const lines = new LineCounter()
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
    const problemAt = (offset: number, message: string, remedy: string): ConfigProblem => {
      const { line, col } = lines.linePos(offset)
      return { file, line, column: col, path: '', message, remedy }
    }
    const problems = document.errors.map((error) =>
      problemAt(error.pos[0], error.message, 'correct the YAML: indent by spaces, one key a line, quote texts with : or # in them'),
    )
    for (const offset of unanchoredAliases(document)) {
      // The name is not shown: it may be the rest of a secret.
      problems.push(problemAt(offset, 'is an alias (*name) for a value that is not there', 'quote a text that begins with *'))
    }
    if (problems[0]) throw new ConfigError([problems[0], ...problems.slice(1)])
    const values = valuesOf(document, problemAt) ?? {}
    if (typeof values !== 'object' || Array.isArray(values)) {
      throw new ConfigError([
        { file, line: 1, column: 1, path: '', message: 'is no map of settings', remedy: 'write settings as `key: value` lines' },
      ])
    }
    dropNulls(values)
    return new ConfigSource(file, values as Raw, (path) => {
      const offset = offsetOf(document.contents, path)
      if (offset === undefined) return undefined
      const { line, col } = lines.linePos(offset)
      return { line, column: col }
    })
  }

  /** Values from a program, as tests and tools have them. */
  static fromValues(name: string, values: Raw): ConfigSource {
    return new ConfigSource(name, structuredClone(values), () => undefined)
  }

  /** Lays the value of an environment variable over the file. */
  override(path: Path, value: unknown, variable: string): boolean {
    if (!setAt(this.values, path, value)) return false
    this.#variables.push({ path, name: variable })
    return true
  }

  /** Sets a value that stands for one written elsewhere, so that problems with it name that place. */
  replace(written: Path, path: Path, value: unknown): void {
    if (setAt(this.values, path, value)) this.#moved.push({ path, written: this.#writtenAt(written) })
  }

  /** True when the value at the path, or one around or below it, came from the environment. */
  fromEnvironment(path: Path): boolean {
    return this.#variableAt(path) !== undefined
  }

  /** Makes a problem with the place of `path`, or of what stands nearest around it. */
  problem(path: Path, message: string, remedy: string): ConfigProblem {
    path = this.#writtenAt(path)
    const variable = this.#variableAt(path)
    if (variable !== undefined) return { file: `$${variable}`, line: undefined, column: undefined, path: formatPath(path), message, remedy }
    let place: { line: number; column: number } | undefined
    for (let length = path.length; length > 0 && !place; length--) place = this.#locate(path.slice(0, length))
    return { file: this.#file, line: place?.line, column: place?.column, path: formatPath(path), message, remedy }
  }

  #writtenAt(path: Path): Path {
    return this.#moved.find((move) => formatPath(move.path) === formatPath(path))?.written ?? path
  }

  #variableAt(path: Path): string | undefined {
    return this.#variables.findLast(
      (variable) =>
        variable.path.every((part, index) => index >= path.length || String(path[index]) === String(part)) &&
        variable.path.length <= path.length,
    )?.name
  }
}

/** A key without a value is a key left out. */
function dropNulls(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (inner === null && !Array.isArray(value)) delete (value as Raw)[key]
    else dropNulls(inner)
  }
}

/** Where the key of a map, or the item of a list, begins. */
function offsetOf(root: unknown, path: Path): number | undefined {
  let node = root
  let offset: number | undefined
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String(item.key) === String(part))
      if (!pair) return undefined
      offset = (pair.key as Node | null)?.range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(part)]
      if (node === undefined) return undefined
      offset = (node as Node | null)?.range?.[0] ?? offset
    } else {
      return undefined
    }
  }
  return offset
}
