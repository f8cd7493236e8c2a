import type { Clock, Timer } from './clock.ts'

interface Pending {
  at: number
  readonly run: () => void
  readonly every: number | undefined
}

/** A clock that stands still until a test turns it. */
export class ManualClock implements Clock {
  #now: number
  readonly #start: number
  readonly #pending = new Set<Pending>()

  /** @param now milliseconds since the epoch */
  constructor(now = 1_700_000_000_000) {
    this.#now = now
    this.#start = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now - this.#start
  }

  setTimeout(run: () => void, ms: number): Timer {
    return this.#add({ at: this.#now + Math.max(0, ms), run, every: undefined })
  }

  setInterval(run: () => void, ms: number): Timer {
    const every = Math.max(1, ms)
    return this.#add({ at: this.#now + every, run, every })
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#pending.size
  }

  /** Turns the clock, and runs what falls due on the way, in order of time. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      let next: Pending | undefined
      for (const timer of this.#pending) if (timer.at <= end && (!next || timer.at < next.at)) next = timer
      if (!next) break
      this.#now = next.at
      if (next.every === undefined) this.#pending.delete(next)
      else next.at += next.every
      next.run()
    }
    this.#now = end
  }

  #add(timer: Pending): Timer {
    this.#pending.add(timer)
    const cancel = (): void => {
      this.#pending.delete(timer)
    }
    return { cancel, [Symbol.dispose]: cancel }
  }
}
