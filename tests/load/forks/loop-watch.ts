/** How late the event loop was, in ms. */
export interface LoopDelay {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** How often it looks. A delay of d is entered as d, d - this, d - 2 × this …: what all who came meanwhile had to wait. */
const EVERY_MS = 2

/**
 * Measures the event loop's delay from inside. Node's own histogram enters a stall once, however many looks it swallowed, and so tells
 * of a process that is blocked half of the time a p99 of next to nothing.
 */
export class LoopWatch {
  #delays: number[] = []

  constructor() {
    this.#look(performance.now() + EVERY_MS)
  }

  /** The delays since the last time. */
  take(): LoopDelay {
    const delays = this.#delays.sort((a, b) => a - b)
    this.#delays = []
    const at = (share: number) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? 0
    return { p50: at(0.5), p99: at(0.99), max: at(1) }
  }

  #look(due: number): void {
    setTimeout(() => {
      const now = performance.now()
      let late = Math.max(0, now - due)
      do {
        this.#delays.push(late)
        late -= EVERY_MS
      } while (late > 0)
      this.#look(now + EVERY_MS)
    }, EVERY_MS).unref()
  }
}
