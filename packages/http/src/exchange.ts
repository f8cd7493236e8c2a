import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BodyBudgetExceeded, ClientGone } from './body.ts'
import { preflightHeaders } from './cors.ts'
import { type Edge, internalHeaders } from './edge.ts'
import type { AnyEndpoint, Reply } from './endpoint.ts'
import { type ErrorReply, overloaded, replyToError, type UnavailableTest } from './errors.ts'
import type { MountOptions } from './mount.ts'
import { type AccessLine, type AnswerCounts, loggablePath, loggableUserAgent, NO_ENDPOINT } from './observe.ts'
import type { EndpointRequest } from './request.ts'
import { sendError, sendErrorUnread, sendReply } from './respond.ts'
import { isReadOrSmall } from './unread.ts'

/** One request and its answer: what is known of it, what was sent, and the one line that is logged about it. */
export class Exchange {
  readonly request: IncomingMessage
  readonly method: string
  readonly path: string
  /** What follows the question mark. */
  readonly query: string
  readonly requestId: string
  readonly ip: string
  readonly userAgent: string
  /** A router that drains asks: a long poll is not to wait. */
  readonly noWait: boolean
  endpoint: AnyEndpoint | undefined
  user: string | undefined
  readonly #options: MountOptions
  readonly #response: ServerResponse
  readonly #started: number
  #info: EndpointRequest | undefined
  #bytes = 0
  /** Answered, or broken off, over the head of its handler. */
  #abandoned = false

  constructor(options: MountOptions, edge: Edge, request: IncomingMessage, response: ServerResponse, ids: RequestIds) {
    this.#options = options
    this.request = request
    this.#response = response
    this.#started = options.clock.monotonic()
    this.method = request.method ?? ''
    const url = request.url ?? ''
    const mark = url.indexOf('?')
    this.path = mark === -1 ? url : url.slice(0, mark)
    this.query = mark === -1 ? '' : url.slice(mark + 1)
    const internal = edge.isInternal(request)
    const given = internal ? request.headers[internalHeaders.requestId] : undefined
    this.requestId = typeof given === 'string' && given !== '' ? given : ids.next()
    this.ip = edge.clientAddress(request, internal)
    this.userAgent = request.headers['user-agent'] ?? ''
    this.noWait = internal && request.headers[internalHeaders.noWait] !== undefined
  }

  begin(info: EndpointRequest): void {
    this.#info = info
    if (this.#response.destroyed) info.finish(false)
  }

  preflight(): void {
    this.#response.writeHead(204, preflightHeaders).end()
  }

  async reply(reply: Reply): Promise<void> {
    if (this.#response.destroyed || this.#abandoned) return discard(reply)
    this.#bytes = (await sendReply(this.#response, reply, this.#envelope(), this.#options.traffic.unread)) ?? 0
  }

  fail(reply: ErrorReply): void {
    const send = isReadOrSmall(this.request) ? sendError : sendErrorUnread.bind(undefined, this.request)
    this.#bytes = send(this.#response, reply, this.#envelope())
  }

  /** Its handler is not waited for any more: whoever serves it next may be asked again. */
  abandon(): void {
    if (this.#response.writableEnded) return
    this.#abandoned = true
    if (this.#response.headersSent) this.#response.destroy()
    else this.fail(overloaded('This process does not serve requests now; try again'))
  }

  failWith(error: unknown, isUnavailable: UnavailableTest): void {
    const gone = this.#response.destroyed || this.#abandoned
    if (error instanceof ClientGone || (gone && isAbort(error))) return
    const { reply, bug } =
      error instanceof BodyBudgetExceeded ? { reply: overloaded('The server is busy'), bug: false } : replyToError(error, isUnavailable)
    if (bug) this.#logBug(error)
    if (gone) return
    // Half an answer is out already: only a broken connection tells the client that the rest is missing.
    if (this.#response.headersSent) this.#response.destroy()
    else this.fail(reply)
  }

  #logBug(error: unknown): void {
    const endpoint = this.endpoint?.id ?? NO_ENDPOINT
    this.#options.log.error({ requestId: this.requestId, endpoint, user: this.user, err: error }, 'request failed: this is a bug')
  }

  #envelope(): { requestId: string; close: boolean } {
    return { requestId: this.requestId, close: this.#options.traffic.draining.aborted }
  }

  /** The answer is out, or will never be: counts and logs it. */
  closed(answers: AnswerCounts): void {
    const answered = this.#response.writableFinished
    this.#info?.finish(answered)
    const ms = this.#options.clock.monotonic() - this.#started
    const endpoint = this.endpoint?.id ?? NO_ENDPOINT
    // nginx's number for "client closed request": no status went out, or not all of the answer.
    const status = answered ? this.#response.statusCode : 499
    answers.add(endpoint, status)
    this.#options.traffic.metrics.duration.observe({ endpoint }, ms / 1000)
    const line: AccessLine = {
      requestId: this.requestId,
      method: this.method,
      endpoint,
      path: loggablePath(this.path),
      status,
      ms: Math.round(ms * 100) / 100,
      bytes: this.#bytes,
      user: this.user,
      ip: this.ip,
      userAgent: loggableUserAgent(this.userAgent),
    }
    this.#options.log.info(line, 'request')
  }
}

/** What a handler or a stream ends with because the client left. */
function isAbort(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  return ('name' in error && error.name === 'AbortError') || ('code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE')
}

/** A stream that nobody reads would keep its source open. */
function discard(reply: Reply): void {
  if ('stream' in reply) reply.stream.destroy()
}

/** Makes request ids: unique over processes by their random part, in one process by their count, which is cheaper than random bytes for each. */
export class RequestIds {
  readonly #prefix = randomBytes(6).toString('base64url')
  #count = 0

  next(): string {
    return `${this.#prefix}-${(this.#count++).toString(36)}`
  }
}
