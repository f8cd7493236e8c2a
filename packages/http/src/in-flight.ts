/**
 * The requests that this process is answering. Bounded: beyond the limit it sheds load (503 with Retry-After) before it dies.
 * Long polls count too, so a limit is chosen by class of process.
 */
export class InFlight {
  readonly #limit: number
  #count = 0
  readonly #idle: (() => void)[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#count
  }

  /** False when the process is full. Each true wants one {@link leave}. */
  enter(): boolean {
    if (this.#count >= this.#limit) return false
    this.#count++
    return true
  }

  /** A request has ended. */
  leave(): void {
    this.#count--
    if (this.#count > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Resolves as soon as nothing is in flight. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }
}
