import type { IncomingMessage } from 'node:http'
import { Roster } from '@weft/kernel'
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
  /** Among those that wait. */
  #place: number | undefined
  #gone = false

  constructor(facts: Omit<RequestInfo, 'signal' | 'gone'>, waiting: WaitingRequests) {
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
      else this.#place = this.#waiting.add(abort)
    }
    return this.#abort.signal
  }

  get gone(): boolean {
    return this.#gone
  }

  /** The exchange is over. @param answered false when the client left before its answer */
  finish(answered: boolean): void {
    if (this.#place !== undefined) this.#waiting.delete(this.#place)
    this.#place = undefined
    if (answered) return
    this.#gone = true
    this.#abort?.abort()
  }
}

/**
 * What ends when the process drains. A roster beside one listener: an event target looks through all its listeners to remove one, and
 * thousands of long polls come and go.
 */
export class WaitingRequests extends Roster<AbortController> {
  constructor(draining: AbortSignal) {
    super()
    draining.addEventListener('abort', () => {
      for (const abort of this.all()) abort.abort()
    })
  }
}
