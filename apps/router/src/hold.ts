/** A request that waits until an instance of its class takes requests. */
export interface HeldRequest {
  /** Memory that it keeps while it waits. */
  readonly bytes: number
  /** Monotonic milliseconds after which it is answered 503. */
  readonly deadline: number
  /** Tries again; may hold it once more. */
  retry(): void
  /** Its time is over. */
  expire(): void
}

export interface HoldLimits {
  readonly maxRequests: number
  readonly maxBytes: number
}

/**
 * Keeps requests in order of arrival while their class changes hands, bounded in number and bytes. It has no timer of
 * its own: the router's sweep calls {@link expire}.
 */
export class Hold<Request extends HeldRequest = HeldRequest> {
  #held: Request[] = []
  #bytes = 0
  readonly #limits: HoldLimits

  constructor(limits: HoldLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#held.length
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Takes a request, or says false when there is no room for it. */
  add(request: Request): boolean {
    if (this.#held.length >= this.#limits.maxRequests || this.#bytes + request.bytes > this.#limits.maxBytes) return false
    this.#held.push(request)
    this.#bytes += request.bytes
    return true
  }

  /** Forgets a request whose client left. */
  remove(request: Request): void {
    const at = this.#held.indexOf(request)
    if (at < 0) return
    this.#held.splice(at, 1)
    this.#bytes -= request.bytes
  }

  /** Lets all requests try again, in their order. Those that find nobody come back in the same order. */
  release(): void {
    const held = this.#held
    this.#held = []
    this.#bytes = 0
    for (const request of held) request.retry()
  }

  /** The request that waits longest among those that `wanted` accepts; it goes on waiting. */
  first(wanted: (request: Request) => boolean): Request | undefined {
    return this.#held.find(wanted)
  }

  /** Ends the wait of requests whose deadline has passed; with `all`, of every request. */
  expire(now: number, all = false): void {
    const over = this.#held.filter((request) => all || request.deadline <= now)
    if (over.length === 0) return
    this.#held = this.#held.filter((request) => !all && request.deadline > now)
    this.#bytes = this.#held.reduce((sum, request) => sum + request.bytes, 0)
    for (const request of over) request.expire()
  }
}
