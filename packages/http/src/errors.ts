import { type JsonObject, MatrixError } from '@weft/matrix'

/** What an error looks like to the client. */
export interface ErrorReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: JsonObject
}

/** An error whose reply is no standard error response: a user-interactive auth challenge has flows and maybe no errcode. */
export class ReplyError extends Error {
  readonly reply: ErrorReply

  constructor(message: string, reply: ErrorReply) {
    super(message)
    this.name = 'ReplyError'
    this.reply = reply
  }
}

/** Tells an error that will pass by itself (PostgreSQL cannot be reached) and when a retry is worth it. */
export type UnavailableTest = (error: unknown) => { readonly retryAfterMs: number } | boolean

const DEFAULT_RETRY_MS = 1000

/**
 * The reply to an error, and whether it is a bug: anything but what is made for clients is 500 M_UNKNOWN and tells them nothing.
 *
 * @param isUnavailable names the errors that mean 503 with Retry-After
 */
export function replyToError(error: unknown, isUnavailable: UnavailableTest): { readonly reply: ErrorReply; readonly bug: boolean } {
  if (error instanceof MatrixError) return { reply: { status: error.status, headers: error.headers, body: error.toJSON() }, bug: false }
  if (error instanceof ReplyError) return { reply: error.reply, bug: false }
  const unavailable = isUnavailable(error)
  if (unavailable !== false) {
    const retryAfterMs = unavailable === true ? DEFAULT_RETRY_MS : unavailable.retryAfterMs
    return { reply: overloaded('The server cannot serve this right now', retryAfterMs), bug: false }
  }
  return { reply: { status: 500, headers: {}, body: { errcode: 'M_UNKNOWN', error: 'Internal server error' } }, bug: true }
}

/** 503 with Retry-After: not the client's fault, worth a retry. Spec has no errcode for it. */
export function overloaded(message: string, retryAfterMs = DEFAULT_RETRY_MS): ErrorReply {
  return { status: 503, headers: { 'retry-after': retryAfterSeconds(retryAfterMs) }, body: { errcode: 'M_UNKNOWN', error: message } }
}

/** Whole seconds, rounded up: a client that comes back earlier would only be refused again. */
export function retryAfterSeconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)))
}
