import { type Clock, systemClock } from './clock.ts'

/**
 * Ctrl-C in a terminal reaches the whole group of processes, and npm passes it on to what it started: the same key press comes
 * twice, some milliseconds apart. SIGHUP and SIGTERM come in pairs likewise when a terminal closes.
 */
const ECHO_MS = 1000

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
/** The signals that ask a process to stop. */
export type StopSignal = (typeof signals)[number]

/** What to do when somebody asks to stop. */
export interface StopHandlers {
  /** Begins an orderly stop; called once. */
  stop(signal: StopSignal): void
  /** The one who asked has lost patience: end at once. */
  end(signal: StopSignal): void
}

/** Where signals come from; `process`, outside tests. */
interface SignalSource {
  on(signal: StopSignal, listener: (signal: StopSignal) => void): unknown
}

/** Stops on the first SIGTERM, SIGINT or SIGHUP, and ends on one that comes a second or more after it. */
export function onStopSignals(handlers: StopHandlers, source: SignalSource = process, clock: Clock = systemClock): void {
  let first: number | undefined
  const heard = (signal: StopSignal): void => {
    const now = clock.monotonic()
    if (first === undefined) {
      first = now
      handlers.stop(signal)
    } else if (now - first >= ECHO_MS) handlers.end(signal)
  }
  for (const signal of signals) source.on(signal, heard)
}
