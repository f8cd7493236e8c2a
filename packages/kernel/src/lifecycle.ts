import type { Clock } from './clock.ts'
import type { Logger } from './log/logger.ts'

/** What a part of a process may do about its own beginning and end. */
export interface Lifecycle {
  /** Aborted when the process starts to stop: long polls answer early, loops end. */
  readonly draining: AbortSignal
  /** Says whether this part can serve. The process is ready when all its parts are. */
  setReady(ready: boolean): void
  /** Registers what has to be done at the end. Steps run in reverse order, one after another. */
  onStop(name: string, run: () => Promise<void> | void): void
  /** Ends the process, with exit code 1: for what cannot be gone on after, such as a lost lease. */
  fail(error: unknown): void
  /** The lifecycle of another part of the same process, with readiness of its own. */
  part(name: string): Lifecycle
}

/** How a process ended. */
export interface StopOutcome {
  /** No step failed or was still running at the deadline. */
  readonly clean: boolean
  /** What was given to `fail`, if anything was. */
  readonly failure: unknown
}

interface StopStep {
  readonly name: string
  readonly run: () => Promise<void> | void
}

/** The lifecycle of a process object, and of its parts. It knows no signals: `runProcess` does. */
export class ProcessLifecycle implements Lifecycle {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #deadlineMs: number
  readonly #draining = new AbortController()
  readonly #parts = new Map<string, boolean>()
  readonly #steps: StopStep[] = []
  readonly #finished = Promise.withResolvers<StopOutcome>()
  #stopping = false
  #failure: unknown

  /** @param deadlineMs how long all steps together may take */
  constructor({ log, clock, deadlineMs }: { readonly log: Logger; readonly clock: Clock; readonly deadlineMs: number }) {
    this.#log = log
    this.#clock = clock
    this.#deadlineMs = deadlineMs
  }

  get draining(): AbortSignal {
    return this.#draining.signal
  }

  /** Fulfilled when the process object has stopped; never rejected. */
  get finished(): Promise<StopOutcome> {
    return this.#finished.promise
  }

  /** False before every part said it is ready, and as soon as the process drains. */
  get ready(): boolean {
    return !this.#stopping && this.#parts.size > 0 && [...this.#parts.values()].every((ready) => ready)
  }

  /** Every part with its readiness. */
  get parts(): ReadonlyMap<string, boolean> {
    return this.#parts
  }

  setReady(ready: boolean): void {
    this.#setReady('process', ready)
  }

  onStop(name: string, run: () => Promise<void> | void): void {
    this.#steps.push({ name, run })
  }

  fail(error: unknown): void {
    this.#failure ??= error ?? new Error('failed without a reason')
    this.#log.error({ err: error }, 'process fails')
    void this.stop('failure')
  }

  part(name: string): Lifecycle {
    if (!this.#parts.has(name)) this.#parts.set(name, false)
    return {
      draining: this.draining,
      setReady: (ready) => this.#setReady(name, ready),
      onStop: (step, run) => this.onStop(`${name}: ${step}`, run),
      fail: (error) => this.fail(error),
      part: (inner) => this.part(`${name}: ${inner}`),
    }
  }

  /**
   * Stops: not ready, draining, then the steps in reverse order. A step that fails does not keep the others from running; one that
   * is still running at the deadline is left behind with those after it. Asked again, waits for the same end.
   */
  async stop(reason: string): Promise<StopOutcome> {
    if (this.#stopping) return this.finished
    this.#stopping = true
    this.#log.info({ reason }, 'stopping')
    this.#draining.abort(new DOMException('the process drains', 'AbortError'))
    const started = this.#clock.monotonic()
    let current = 'nothing'
    const expired = Promise.withResolvers<'expired'>()
    using _ = this.#clock.setTimeout(() => expired.resolve('expired'), this.#deadlineMs)
    const work = this.#runSteps((name) => {
      current = name
    })
    const outcome = await Promise.race([work, expired.promise])
    if (outcome === 'expired') this.#log.error({ step: current, deadlineMs: this.#deadlineMs }, 'did not stop before the deadline')
    else this.#log.info({ ms: Math.round(this.#clock.monotonic() - started) }, 'stopped')
    this.#finished.resolve({ clean: outcome === 'clean', failure: this.#failure })
    return this.finished
  }

  async #runSteps(entering: (name: string) => void): Promise<'clean' | 'failed'> {
    let outcome: 'clean' | 'failed' = 'clean'
    // A step may register another one while it runs; it is run next.
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      entering(step.name)
      try {
        await step.run()
      } catch (err) {
        outcome = 'failed'
        this.#log.error({ err, step: step.name }, 'stopping step failed')
      }
    }
    return outcome
  }

  #setReady(name: string, ready: boolean): void {
    const before = this.ready
    this.#parts.set(name, ready)
    if (this.ready !== before) this.#log.info({ ready: this.ready }, 'readiness changed')
  }
}
