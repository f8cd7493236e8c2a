import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Roster } from '@weft/kernel'
import type { Attempt, AttemptListener, Stage } from './attempt.ts'
import { downstreamHeaders, drainingHeader, notActiveHeader, noWait } from './headers.ts'
import type { HeldRequest, Hold } from './hold.ts'
import type { InstanceBook, KnownInstance, MonotonicClock, RunningAttempt } from './instance-book.ts'
import { answer, type OwnAnswer } from './replies.ts'
import type { Route } from './route.ts'

/** Tries after which a request that may have reached its workers is answered 502. */
const maxAttempts = 6
/** An attempt that lasted longer was being served: its failure is a new one, not one more of the same. */
const servedMs = 1_000
/** Tries without a pause, of a request that reached nobody. */
const quickAttempts = 4
/** Tries after which a request that reached nobody is given up: a fault of this router, not a pause of a worker. */
const maxUnsentAttempts = 200

export interface ExchangeDependencies {
  readonly book: InstanceBook
  readonly hold: Hold<Exchange>
  readonly clock: MonotonicClock
  readonly holdMs: number
  /** The requests that have not ended: each enters and leaves by itself. */
  readonly open: Roster<Exchange>
  readonly observer: ExchangeObserver
  /** True once the router drains: connections close after their answer. */
  draining(): boolean
  /** Starts one try; `body` undefined means that the request streams. */
  attempt(exchange: Exchange, instance: KnownInstance, listener: AttemptListener): Attempt
}

export type RetryReason = 'unsent' | 'sent' | 'refused'

export interface ExchangeObserver {
  /** The request has ended. `status` is 0 where the client left before an answer began. */
  ended(exchange: Exchange, status: number): void
  retried(exchange: Exchange, reason: RetryReason): void
  held(exchange: Exchange): void
  /** From sending a request to the head of its answer, in ms. */
  upstream(exchange: Exchange, ms: number): void
  upstreamFailed(exchange: Exchange, instance: KnownInstance, error: Error, stage: Stage): void
}

/**
 * One request on its way: chooses an instance, tries, goes elsewhere where that is safe, waits where nobody is there,
 * and answers for itself when all of that failed.
 */
export class Exchange implements AttemptListener, HeldRequest, RunningAttempt {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly route: Route
  readonly keyHash: number
  /** Names and values for the worker. */
  readonly headers: string[]
  /** null without a body; undefined when it streams from the client. */
  readonly body: Buffer | null | undefined
  readonly requestId: string
  /** The class that served, or was to serve, the request: metric label. */
  servingClass: string
  readonly #with: ExchangeDependencies
  #attempt: Attempt | undefined
  #instance: KnownInstance | undefined
  /** Among the open ones, and among those that its instance runs. */
  readonly #place: number
  #instancePlace = 0
  #askedAsStandby = false
  #tried: Set<KnownInstance> | undefined
  #attempts = 0
  #sentAt = 0
  #deadline: number | undefined
  #waiting = false
  #wasHeld = false
  #hurried = false
  #ended = false

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    route: Route,
    keyHash: number,
    headers: string[],
    body: Buffer | null | undefined,
    requestId: string,
    dependencies: ExchangeDependencies,
  ) {
    this.req = req
    this.res = res
    this.route = route
    this.keyHash = keyHash
    this.headers = headers
    this.body = body
    this.requestId = requestId
    this.#with = dependencies
    this.servingClass = route.servedBy[0] ?? 'none'
    this.#place = dependencies.open.add(this)
    res.once('close', () => this.#closed())
  }

  get bytes(): number {
    return 512 + (this.body?.length ?? 0)
  }

  /**
   * Until when it is tried and held: counted from the first time that no instance served it, so that a long poll whose
   * process dies after half a minute has its full time too.
   */
  get deadline(): number {
    this.#deadline ??= this.#with.clock.monotonic() + this.#with.holdMs
    return this.#deadline
  }

  /** True once the answer has begun or the request has ended: nothing can be said to the client any more. */
  get begun(): boolean {
    return this.#ended || this.res.headersSent
  }

  /** Sends the request, or holds it. */
  start(): void {
    if (this.#with.draining()) this.#doNotWait()
    const instance = this.#with.book.pick(this.route.servedBy, this.keyHash, this.#tried)
    if (instance !== undefined) this.sendTo(instance)
    else this.#wait()
  }

  /**
   * Ends a long poll that waits, with an answer that its client can go on from: only a worker knows the token of one, so the
   * request is made again, with the word that it must not wait.
   */
  hurry(): void {
    if (this.begun || this.#instance === undefined || !this.#doNotWait()) return
    const attempt = this.#attempt
    const instance = this.#leaveInstance()
    if (instance !== undefined) this.#with.book.undecided(instance)
    attempt?.cancel()
    this.start()
  }

  /** True when that is news for the worker. */
  #doNotWait(): boolean {
    if (!this.route.longPoll || this.#hurried || this.body === undefined) return false
    this.#hurried = true
    this.headers.push(...noWait)
    return true
  }

  retry(): void {
    this.#waiting = false
    if (!this.#ended) this.start()
  }

  #wait(): void {
    this.#tried = undefined
    if (this.#with.draining() || this.deadline <= this.#with.clock.monotonic() || !this.#with.hold.add(this)) {
      this.#unavailable()
      return
    }
    if (!this.#wasHeld) this.#with.observer.held(this)
    this.#wasHeld = true
    this.#waiting = true
  }

  expire(): void {
    this.#waiting = false
    this.#unavailable()
  }

  #unavailable(): void {
    this.answer({ status: 503, errcode: 'M_UNKNOWN', error: 'The server is not available at the moment', retryAfterSeconds: 1 })
  }

  /** Sends the request to this instance. */
  sendTo(instance: KnownInstance): void {
    this.#waiting = false
    this.#instance = instance
    this.#askedAsStandby = instance.state === 'standby'
    this.servingClass = instance.class
    const number = ++this.#attempts
    this.#sentAt = this.#with.clock.monotonic()
    this.#instancePlace = instance.running.add(this)
    const attempt = this.#with.attempt(this, instance, this)
    // An attempt that failed at once has already been followed by another, or by an answer.
    if (this.#instance !== undefined && this.#attempts === number) this.#attempt = attempt
  }

  #leaveInstance(): KnownInstance | undefined {
    const instance = this.#instance
    instance?.running.delete(this.#instancePlace)
    this.#instance = undefined
    this.#attempt = undefined
    return instance
  }

  head(status: number, headers: IncomingHttpHeaders): string[] | undefined {
    const instance = this.#instance
    if (instance === undefined) return undefined
    this.#with.observer.upstream(this, this.#with.clock.monotonic() - this.#sentAt)
    if (status === 503 && (headers[notActiveHeader] !== undefined || headers[drainingHeader] !== undefined)) {
      this.#with.book.refused(instance, headers[drainingHeader] !== undefined)
      // A streamed body is with the worker that refused it; its 503 is the answer then.
      if (this.body !== undefined) {
        this.#leaveInstance()
        this.#again('refused')
        return undefined
      }
    } else this.#with.book.answered(instance, this.#askedAsStandby)
    return downstreamHeaders(headers, this.#with.draining())
  }

  finished(): void {
    this.#leaveInstance()
    this.#end(this.res.statusCode)
  }

  failed(error: Error, stage: Stage): void {
    const instance = this.#leaveInstance()
    if (instance === undefined) return
    if (this.#ended) {
      this.#with.book.undecided(instance)
      return
    }
    if (isUnsendable(error)) {
      this.#with.book.undecided(instance)
      this.answer({ status: 400, errcode: 'M_UNKNOWN', error: 'The request line or a header is malformed' })
      return
    }
    this.#with.observer.upstreamFailed(this, instance, error, stage)
    if (this.#with.clock.monotonic() - this.#sentAt > servedMs) this.#deadline = undefined
    if (stage === 'unsent' && isUnreachable(error)) this.#with.book.unreachable(instance)
    else this.#with.book.undecided(instance)
    if (stage === 'answering') {
      // The client must see that the answer is cut; a clean end would look complete.
      this.res.destroy()
      this.#end(this.res.statusCode)
      return
    }
    const repeatable = stage === 'unsent' || (this.route.idempotent && this.body !== undefined)
    if (!repeatable) {
      this.answer({ status: 502, errcode: 'M_UNKNOWN', error: 'The connection to the process that served this request was lost' })
      return
    }
    if (instance.class !== 'writer') {
      this.#tried ??= new Set()
      this.#tried.add(instance)
    }
    this.#again(stage)
  }

  #again(reason: RetryReason): void {
    if (this.#attempts >= (reason === 'sent' ? maxAttempts : maxUnsentAttempts)) {
      this.answer({ status: 502, errcode: 'M_UNKNOWN', error: 'No process could serve this request' })
      return
    }
    if (this.deadline <= this.#with.clock.monotonic()) {
      this.#unavailable()
      return
    }
    this.#with.observer.retried(this, reason)
    // A local fault, such as no file descriptors left, would otherwise be met again at once.
    if (reason === 'unsent' && this.#attempts >= quickAttempts) this.#wait()
    else this.start()
  }

  /** Ends the running attempt as a broken connection: its instance was given up. */
  abandon(reason: Error): void {
    this.#attempt?.abandon(reason)
  }

  /** Answers in the router's own name, unless an answer has begun. */
  answer(reply: OwnAnswer): void {
    if (this.#ended) return
    const attempt = this.#attempt
    const instance = this.#leaveInstance()
    if (instance !== undefined) this.#with.book.undecided(instance)
    attempt?.cancel()
    if (this.#waiting) {
      this.#with.hold.remove(this)
    }
    answer(this.res, reply, this.#with.draining())
    this.#end(reply.status)
  }

  #closed(): void {
    if (this.#ended) return
    const attempt = this.#attempt
    const instance = this.#leaveInstance()
    if (instance !== undefined) this.#with.book.undecided(instance)
    attempt?.cancel()
    if (this.#waiting) {
      this.#with.hold.remove(this)
    }
    this.#end(this.res.headersSent ? this.res.statusCode : 0)
  }

  #end(status: number): void {
    if (this.#ended) return
    this.#ended = true
    this.#with.open.delete(this.#place)
    this.#with.observer.ended(this, status)
  }
}

function code(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** undici refused to build the request: bytes that the parser let pass but that cannot be sent on. */
function isUnsendable(error: Error): boolean {
  return (
    code(error) === 'UND_ERR_INVALID_ARG' ||
    code(error) === 'UND_ERR_NOT_SUPPORTED' ||
    code(error) === 'ERR_INVALID_CHAR' ||
    code(error) === 'ERR_UNESCAPED_CHARACTERS'
  )
}

const unreachableCodes = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'ECONNECT_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
])

function isUnreachable(error: Error): boolean {
  return unreachableCodes.has(code(error))
}
