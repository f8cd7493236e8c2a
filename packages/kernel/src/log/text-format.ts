import { inspect } from 'node:util'
import type { LogLevel } from './logger.ts'
import { serializeError } from './serialize-error.ts'

const LEVELS: Readonly<Record<LogLevel, string>> = { debug: 'DEBUG', info: 'INFO ', warn: 'WARN ', error: 'ERROR' }
/** Fields with a place of their own in the line. */
const PLACED = new Set(['class', 'instance', 'err'])

/** What every line of a logger carries: who writes, and the fields of its parents as they stand in a line. */
export interface TextBindings {
  readonly who: string
  readonly fields: string
}

/** The bindings of a child. */
export function bindText(parent: TextBindings, fields: object): TextBindings {
  const { instance, class: processClass } = fields as { instance?: unknown; class?: unknown }
  const who = instance ?? processClass
  return { who: who === undefined ? parent.who : `${String(who)} `, fields: parent.fields + fieldsText(fields) }
}

/** A line the way people read it: `12:00:00.123 INFO  sync-1a2b message key=value`. @param time ISO, UTC */
export function textLine(time: string, level: LogLevel, bindings: TextBindings, fields: object, message: string): string {
  const { err } = fields as { err?: unknown }
  const failure = err === undefined || err === null ? '' : errorText(serializeError(err) as object)
  return `${time.slice(11, 23)} ${LEVELS[level]} ${bindings.who}${message}${bindings.fields}${fieldsText(fields)}${failure}\n`
}

function fieldsText(fields: object): string {
  let text = ''
  for (const key in fields) {
    const value = (fields as Record<string, unknown>)[key]
    if (value !== undefined && !PLACED.has(key)) text += ` ${key}=${plain(value)}`
  }
  return text
}

/** The stack, or whatever there is in its place, then what else the error carries, such as a code. */
function errorText(error: object): string {
  const { type: _, message, stack, ...rest } = error as { type?: unknown; message?: unknown; stack?: unknown }
  const lines = [String(stack ?? message ?? '')]
  if (Object.keys(rest).length > 0) lines.push(JSON.stringify(rest))
  return `\n${lines.join('\n')}`.replaceAll('\n', '\n    ')
}

function plain(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  try {
    return JSON.stringify(value) ?? 'undefined'
  } catch {
    // A circular object, or a bigint inside.
    return JSON.stringify(inspect(value, { depth: 2 }))
  }
}
