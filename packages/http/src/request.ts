import type { IncomingMessage } from 'node:http'
import type { Method, RequestInfo } from './endpoint.ts'

/** What a handler sees of its request. The signal is made when it is first asked for: most handlers never ask. */
export class EndpointRequest implements RequestInfo {
  readonly requestId: string
  readonly ip: string
  readonly userAgent: string
  readonly path: string
  readonly method: Method
  readonly draining: AbortSignal
  readonly raw: IncomingMessage
  readonly #waiting: WaitingRequests
  #abort: AbortController | undefined
  #gone = false

  constructor(facts: Omit<RequestInfo, 'signal'>, waiting: WaitingRequests) {
    this.#waiting = waiting
    this.requestId = facts.requestId
    this.ip = facts.ip
    this.userAgent = facts.userAgent
    this.path = facts.path
    this.method = facts.method
    this.draining = facts.draining
    this.raw = facts.raw
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController()
      this.#abort = abort
      if (this.#gone || this.draining.aborted) abort.abort()
      else this.#waiting.add(abort)
    }
    return this.#abort.signal
  }

  /** The exchange is over. @param answered false when the client left before its answer */
  finish(answered: boolean): void {
    if (this.#abort !== undefined) this.#waiting.delete(this.#abort)
    if (answered) return
    this.#gone = true
    this.#abort?.abort()
  }
}

/**
 * What ends when the process drains. A set beside one listener: an event target looks through all its listeners to remove one, and thousands
 * of long polls come and go.
 */
export class WaitingRequests {
  readonly #aborts = new Set<AbortController>()

  constructor(draining: AbortSignal) {
    draining.addEventListener('abort', () => {
      for (const abort of this.#aborts) abort.abort()
      this.#aborts.clear()
    })
  }

  add(abort: AbortController): void {
    this.#aborts.add(abort)
  }

  delete(abort: AbortController): void {
    this.#aborts.delete(abort)
  }
}
