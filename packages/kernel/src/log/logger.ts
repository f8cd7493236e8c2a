import { pino } from 'pino'
import { gatheredOutput, type LogOutput } from './output.ts'
import { scrub } from './scrub.ts'
import { serializeError } from './serialize-error.ts'
import { bindText, type TextBindings, textLine } from './text-format.ts'

/** From the most to the least talkative; a line is written when its level is at or above the configured one. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/**
 * Writes what happens. Fields are data, the message is a constant text: `log.warn({ destination, err }, 'transaction failed')`.
 * An error goes under `err`. Secrets are taken out of the finished line (R34).
 */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** A logger whose lines carry these fields too. */
  child(fields: object): Logger
  /** Whether lines of this level are written: for fields that cost something to gather. */
  enabled(level: LogLevel): boolean
  /** Hands on what is held back; errors do so by themselves. */
  flush(): void
}

/** What is written, how, and where to. */
export interface LoggerOptions {
  readonly level: LogLevel
  readonly format: 'json' | 'text'
  /** Takes finished lines, in place of standard output. */
  readonly write?: (line: string) => void
}

/** Makes a logger; `createLogger({ level: 'info', format: 'text' })` writes to standard output. */
export function createLogger({ level, format, write }: LoggerOptions): Logger {
  const output: LogOutput = write ? { write, flush: () => undefined } : gatheredOutput()
  const isoTime = isoClock()
  if (format === 'text') return wrapText({ level, output, isoTime }, { who: '', fields: '' })
  const base = pino(
    {
      level,
      base: null,
      messageKey: 'msg',
      timestamp: () => `,"time":"${isoTime()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => serializeError(error) },
    },
    { write: (line: string) => output.write(scrub(line)) },
  )
  return wrap(base, output)
}

/** The time as ISO text, formatted once a second: `toISOString` is 2 of the 4 µs of a line. */
function isoClock(): () => string {
  let second = Number.NaN
  let prefix = ''
  return () => {
    const now = Date.now()
    const ms = now % 1000
    if (now - ms !== second) {
      second = now - ms
      prefix = new Date(second).toISOString().slice(0, -4)
    }
    return `${prefix}${String(ms).padStart(3, '0')}Z`
  }
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
  enabled: () => false,
  flush: () => undefined,
}

function wrap(base: pino.Logger, output: LogOutput): Logger {
  return {
    debug: (fields, message) => base.debug(fields, message),
    info: (fields, message) => base.info(fields, message),
    warn: (fields, message) => base.warn(fields, message),
    error: (fields, message) => {
      base.error(fields, message)
      output.flush()
    },
    child: (fields) => wrap(base.child(fields), output),
    enabled: (level) => base.isLevelEnabled(level),
    flush: () => output.flush(),
  }
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

/** Lines for people are made without the detour over JSON, which is three times their cost. */
function wrapText(
  to: { readonly level: LogLevel; readonly output: LogOutput; readonly isoTime: () => string },
  bindings: TextBindings,
): Logger {
  const { output, isoTime } = to
  const enabled = (level: LogLevel): boolean => RANK[level] >= RANK[to.level]
  const at = (level: LogLevel) => (fields: object, message: string) => {
    if (enabled(level)) output.write(scrub(textLine(isoTime(), level, bindings, fields, message)))
  }
  const error = at('error')
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: (fields, message) => {
      error(fields, message)
      output.flush()
    },
    child: (fields) => wrapText(to, bindText(bindings, fields)),
    enabled,
    flush: () => output.flush(),
  }
}
