import { inspect, types } from 'node:util'
import { OperatorError } from '../operator-error.ts'

/** Nested causes, and errors of an AggregateError, that are shown. */
const MAX_DEPTH = 4
const MAX_ERRORS = 5
const MAX_TEXT = 4096

/**
 * An error as a log shows it: type, message, stack, what it carries in plain values (code, constraint, address …), and its causes.
 * Objects that hang on errors are left out: pg hangs its client on some, with all its settings. So is the row that PostgreSQL quotes
 * when it breaks a constraint: it may hold anything. What was thrown and is no error is shown as it is; what an operator can mend, by
 * its message alone.
 */
export function serializeError(error: unknown, depth = 0): unknown {
  if (!types.isNativeError(error))
    return { message: typeof error === 'string' ? bounded(error) : inspect(error, { depth: 1, breakLength: Number.POSITIVE_INFINITY }) }
  if (error instanceof OperatorError) return { type: error.name, message: bounded(error.message) }
  const shown: Record<string, unknown> = { type: error.name, message: bounded(error.message), stack: bounded(error.stack ?? '') }
  for (const [key, value] of Object.entries(error)) {
    if (Object.hasOwn(shown, key) || key === 'name') continue
    if (typeof value === 'number' || typeof value === 'boolean') shown[key] = value
    else if (typeof value === 'string' && !value.startsWith('Failing row contains')) shown[key] = bounded(value)
  }
  if (depth < MAX_DEPTH) {
    if (error.cause !== undefined) shown.cause = serializeError(error.cause, depth + 1)
    const { errors } = error as { errors?: unknown }
    if (Array.isArray(errors)) shown.errors = errors.slice(0, MAX_ERRORS).map((inner) => serializeError(inner, depth + 1))
  }
  return shown
}

function bounded(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}
