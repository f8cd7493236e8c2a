import type { CurrentStateDeltasRow, EventsRow } from '@weft/replication'
import { type BoundSql, CommitOutcomeUnknown, type EventsReader, isConnectionError } from '@weft/storage'
import { type Assembled, assembleBatch, eventsIn, positionsOf, probeOf, type Submission } from './assemble-batch.ts'
import type { RoomHead } from './room-head.ts'
import type { StateKeys } from './state-keys.ts'

/** Stream positions given to a batch (`StreamWriter.reserve` of packages/replication). */
export interface EventsReservation {
  readonly ids: readonly number[]
  /** The fence and the stored position, to stand at the beginning of the transaction. */
  positionStatements(): BoundSql[]
  /** After the commit: what to announce, events with their client texts. */
  complete(committed: { events: EventsRow[]; texts: Array<string | undefined>; currentStateDeltas: CurrentStateDeltasRow[] }): void
  abandon(): void
}

export interface CommitLoopMetrics {
  batch(figures: { events: number; submissions: number; statements: number; seconds: number }): void
  /** How long something that a user of this server sent waited until its transaction began. */
  waited(seconds: number): void
}

export interface CommitLoopOptions {
  readonly db: {
    commitPipeline(statements: readonly BoundSql[]): Promise<unknown[][]>
    /** Ends the backend of a commit whose outcome is unknown; what can be read afterwards is the outcome. */
    endBackend(unknown: CommitOutcomeUnknown): Promise<void>
  }
  readonly events: EventsReader
  readonly stateKeys: StateKeys
  readonly reserve: (n: number) => EventsReservation
  /** Told about every head whose commit failed, before its submissions learn of it. */
  readonly onFailed: (head: RoomHead) => void
  readonly onSettled: (head: RoomHead) => void
  /** The outcome of a COMMIT could not be found out, and the loop is closed: the next writer reads what is there. */
  readonly onUnsettled: (error: unknown) => void
  /** True for the error that says another process has become the writer. */
  readonly isFenced: (error: unknown) => boolean
  readonly now: () => number
  /** Resolves after so many ms: between two looks for a PostgreSQL that is away. */
  readonly pause: (ms: number) => Promise<void>
  readonly metrics?: CommitLoopMetrics
  /** Events of one transaction (default 500); a submission that has more goes alone. */
  readonly maxBatchEvents?: number
  /** Submissions that may wait (default 10,000). */
  readonly maxPending?: number
}

/** The events were not committed and never will be; `alone` says whether the submission itself is to blame. */
export class NotCommitted extends Error {
  readonly alone: boolean

  constructor(message: string, options: { alone: boolean; cause: unknown }) {
    super(message, { cause: options.cause })
    this.alone = options.alone
  }
}

const UNREACHABLE_RETRY_MS = 200

interface Waiting {
  readonly submission: Submission
  /** When it was queued, by `performance.now()`. */
  readonly since: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Group commit: takes all that is ready, of all rooms, and writes it in one transaction and one round trip, while the next
 * batch gathers. One transaction is in flight; two would deadlock on rows of the same room and write older over newer.
 *
 * A batch of messages is events, transaction ids (a statement each for 32, 16 or at most 8 rows), fence with position; COMMIT rides
 * along. State adds up to five, whatever the number of events. Nothing is read.
 */
export class CommitLoop {
  readonly #options: CommitLoopOptions
  readonly #maxBatchEvents: number
  readonly #maxPending: number
  #waiting: Waiting[] = []
  #running = false
  #scheduled = false
  #closed: Error | undefined
  readonly #idle: Array<() => void> = []

  constructor(options: CommitLoopOptions) {
    this.#options = options
    this.#maxBatchEvents = options.maxBatchEvents ?? 500
    this.#maxPending = options.maxPending ?? 10_000
  }

  /** Submissions that wait for their turn. */
  get depth(): number {
    return this.#waiting.length
  }

  /** True when no more submissions are taken: asked before a head is moved on. */
  get full(): boolean {
    return this.#waiting.length >= this.#maxPending
  }

  /**
   * Resolves once the events are committed.
   * @throws NotCommitted, the reason why PostgreSQL could not be reached, or for which the loop was closed
   */
  commit(submission: Submission): Promise<void> {
    submission.head.pending++
    if (submission.with !== undefined) submission.with.head.pending++
    return new Promise((resolve, reject) => {
      const waiting = { submission, since: performance.now(), resolve, reject }
      if (this.#closed !== undefined) return this.#fail(waiting, this.#closed)
      this.#waiting.push(waiting)
      this.#schedule()
    })
  }

  /** Resolves when nothing waits and nothing is under way. */
  async drained(): Promise<void> {
    if (!this.#running && this.#waiting.length === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** Refuses what waits and all that comes; what is under way may still be committed, while this writer's epoch lasts. */
  close(reason: Error): void {
    this.#closed ??= reason
    for (const waiting of this.#waiting.splice(0)) this.#fail(waiting, this.#closed)
  }

  #schedule(): void {
    if (this.#running || this.#scheduled) return
    this.#scheduled = true
    // setImmediate lets every request that is already readable join the batch; a timer would only add latency (p50 3.0 ms).
    setImmediate(() => {
      this.#scheduled = false
      void this.#run()
    })
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      while (this.#waiting.length > 0) await this.#commitBatch(this.#takeBatch())
    } finally {
      this.#running = false
      for (const wake of this.#idle.splice(0)) wake()
    }
  }

  #takeBatch(): Waiting[] {
    const first = this.#waiting[0] as Waiting
    if (first.submission.alone) return this.#waiting.splice(0, 1)
    let events = 0
    let n = 0
    while (n < this.#waiting.length) {
      const { submission } = this.#waiting[n] as Waiting
      if (submission.alone) break
      events += eventsIn(submission)
      if (n > 0 && events > this.#maxBatchEvents) break
      n++
    }
    return this.#waiting.splice(0, n)
  }

  async #commitBatch(taken: Waiting[]): Promise<void> {
    // A head may have gone stale while its submissions waited: what was built on a failed event fails with it.
    const batch = taken.filter((waiting) => {
      if (!isStale(waiting)) return true
      this.#fail(waiting, new NotCommitted('built on an event that was not committed', { alone: false, cause: undefined }))
      return false
    })
    if (batch.length === 0) return
    const submissions = partsOf(batch)
    const started = performance.now()
    let reservation: EventsReservation
    try {
      reservation = this.#options.reserve(submissions.reduce((sum, submission) => sum + positionsOf(submission), 0))
    } catch (error) {
      this.#failBatch(batch, error)
      return
    }
    const assembled: Assembled = assembleBatch(submissions, reservation.ids, this.#options.stateKeys, this.#options.now())
    // First: a writer that was replaced must learn that, and not that its successor has used the same positions (a unique violation).
    assembled.statements.unshift(...reservation.positionStatements())
    try {
      await this.#options.db.commitPipeline(assembled.statements)
    } catch (error) {
      let landed = false
      try {
        landed = error instanceof CommitOutcomeUnknown && (await this.#hasLanded(error, batch))
      } catch (cause) {
        // Nobody can say whether it is there, and nothing may be written before that is known. Its positions stay taken.
        this.#failBatch(batch, error)
        this.close(error as CommitOutcomeUnknown)
        this.#options.onUnsettled(cause)
        return
      }
      if (!landed) {
        reservation.abandon()
        this.#failBatch(batch, error)
        return
      }
    }
    reservation.complete({ events: assembled.rows, texts: assembled.texts, currentStateDeltas: assembled.deltaRows })
    this.#options.stateKeys.written(assembled.newKeys)
    for (const [head, listed] of assembled.forks) head.storedFork = listed.length > 0
    for (const { head } of submissions) this.#options.onSettled(head)
    for (const { resolve } of batch) resolve()
    this.#options.metrics?.batch({
      events: submissions.reduce((sum, submission) => sum + eventsIn(submission), 0),
      submissions: batch.length,
      statements: assembled.statements.length,
      seconds: (performance.now() - started) / 1000,
    })
    for (const { submission, since } of batch) if (submission.placed === undefined) this.#options.metrics?.waited((started - since) / 1000)
  }

  /**
   * Whether a COMMIT of unknown outcome took place. Asked before anything else is written, and only once the backend that ran
   * it is gone, so that the answer is final. Waits as long as PostgreSQL is away: until then nobody can be told anything.
   * @throws what PostgreSQL answers instead, or the reason for which the loop was closed meanwhile
   */
  async #hasLanded(error: CommitOutcomeUnknown, batch: readonly Waiting[]): Promise<boolean> {
    const probe = batch.map(({ submission }) => probeOf(submission)).find((found) => found !== undefined)
    if (probe === undefined) return false
    for (;;) {
      try {
        await this.#options.db.endBackend(error)
        const found = (await this.#options.events.idsThatExist([probe.eventId])).get(probe.eventId)
        return found !== undefined && found.outlier === probe.outlier
      } catch (cause) {
        if (!isConnectionError(cause)) throw cause
        if (this.#closed !== undefined) throw this.#closed
        await this.#options.pause(UNREACHABLE_RETRY_MS)
      }
    }
  }

  #failBatch(batch: readonly Waiting[], error: unknown): void {
    const unreachable = isConnectionError(error) || this.#options.isFenced(error)
    const alone = batch.length === 1
    for (const { head } of partsOf(batch)) this.#options.onFailed(head)
    for (const waiting of batch) {
      this.#fail(waiting, unreachable ? error : new NotCommitted('the batch was not committed', { alone, cause: error }))
    }
    if (!unreachable) return
    // What was built on the batch meanwhile would be tried again, and meet the same: it is told so at once.
    const waiting = this.#waiting
    this.#waiting = waiting.filter((one) => !isStale(one))
    for (const one of waiting) if (isStale(one)) this.#fail(one, error)
  }

  #fail(waiting: Waiting, error: unknown): void {
    for (const { head } of partsOf([waiting])) {
      this.#options.onFailed(head)
      this.#options.onSettled(head)
    }
    waiting.reject(error)
  }
}

/** It stands on an event that was not committed. */
function isStale({ submission }: Waiting): boolean {
  return submission.head.stale || submission.with?.head.stale === true
}

/** The submissions of a batch, each room's part for itself. */
function partsOf(batch: readonly Waiting[]): Submission[] {
  const parts: Submission[] = []
  for (const { submission } of batch) {
    parts.push(submission)
    if (submission.with !== undefined) parts.push(submission.with)
  }
  return parts
}
