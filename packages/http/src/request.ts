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
  #abort: AbortController | undefined
  #gone = false
  #onDrain: (() => void) | undefined

  constructor(facts: Omit<RequestInfo, 'signal'>) {
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
      else {
        this.#onDrain = () => abort.abort()
        this.draining.addEventListener('abort', this.#onDrain, { once: true })
      }
    }
    return this.#abort.signal
  }

  /** True once the connection closed before the answer was complete. */
  get clientGone(): boolean {
    return this.#gone
  }

  /** The exchange is over. @param answered false when the client left before its answer */
  finish(answered: boolean): void {
    if (this.#onDrain !== undefined) this.draining.removeEventListener('abort', this.#onDrain)
    if (answered) return
    this.#gone = true
    this.#abort?.abort()
  }
}
