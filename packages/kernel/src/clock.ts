import { performance } from 'node:perf_hooks'

/** A timer that can be taken back; `using` does so at the end of the block. */
export interface Timer extends Disposable {
  cancel(): void
}

/** Time, given to whoever needs it, so that tests can turn it. */
export interface Clock {
  /** Milliseconds since the epoch. May jump. */
  now(): number
  /** Milliseconds since an arbitrary start, with fractions. Never goes back. */
  monotonic(): number
  /** Calls `run` once after `ms`. */
  setTimeout(run: () => void, ms: number): Timer
  /** Calls `run` every `ms`, for the first time after `ms`. */
  setInterval(run: () => void, ms: number): Timer
}

/** Node answers a longer timeout by calling at once. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1

class SystemTimer implements Timer {
  handle: NodeJS.Timeout | undefined

  cancel(): void {
    clearTimeout(this.handle)
  }

  [Symbol.dispose](): void {
    this.cancel()
  }
}

/** The machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout(run, ms) {
    const timer = new SystemTimer()
    const arm = (left: number): void => {
      const part = Math.min(left, LONGEST_TIMEOUT_MS)
      timer.handle = setTimeout(() => (left > part ? arm(left - part) : run()), part)
    }
    arm(ms)
    return timer
  },
  setInterval(run, ms) {
    const timer = new SystemTimer()
    timer.handle = setInterval(run, Math.min(ms, LONGEST_TIMEOUT_MS))
    return timer
  },
}
