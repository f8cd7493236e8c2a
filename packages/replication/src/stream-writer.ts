import { type Clock, pause, type Timer } from '@weft/kernel'
import { type BoundSql, CommitOutcomeUnknown, isUniqueViolation, type Queryable, type Tx } from '@weft/storage'
import type { OutgoingAnnouncement } from './announcement.ts'
import type { Announcer, ReplicationLog } from './announcer.ts'
import { announcementsOf, type Committed, PositionTrack, type Taken } from './position-track.ts'
import {
  asFenced,
  FencedError,
  fenceStatement,
  outcomeOf,
  readStoredPositions,
  storeAllStatement,
  storeStatement,
  type WriterIdentity,
} from './stored-positions.ts'
import {
  baseName,
  type Reaction,
  type ReactionsFor,
  type RedisStream,
  type RowOf,
  reactionsByName,
  type StreamSet,
  type TableStream,
} from './stream.ts'

/** Followers that hear nothing for longer read the stored positions instead. */
export const heartbeatMs = 1000
const settleRetryMs = 100
/** How long a caller waits to hear whether its unanswered COMMIT counted; the ids stay taken until it is known. */
const settleWaitMs = 5000

/** What a StreamWriter needs of the database; `Database` is one. */
export interface WriterDatabase extends Queryable {
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>
  commitPipeline(statements: readonly BoundSql[]): Promise<unknown>
  /** Ends the backend of a commit that was not answered: it may never have got the COMMIT, and would sit there open. */
  endBackend(unknown: CommitOutcomeUnknown): Promise<void>
}

export interface StreamWriterOptions<All extends StreamSet> {
  readonly db: WriterDatabase
  readonly announcer: Announcer
  readonly writer: WriterIdentity
  readonly streams: All
  readonly clock: Clock
  readonly log: ReplicationLog
  /** What the writing process itself does with its rows: told when they are committed, before followers are. */
  readonly reactions: ReactionsFor<All, 'writer'>
  /** Called once when PostgreSQL refuses a write because another process has become the writer. */
  readonly onFenced: () => void
}

/** Ids taken for one transaction. Exactly one of `complete` and `abandon` ends it; until then nothing behind it is announced. */
export interface Reservation {
  /** Ascending. */
  readonly ids: readonly number[]
  /** The epoch fence and the stored position, for the transaction: one round trip with its commit. */
  positionStatements(): BoundSql[]
  /** After the commit: rows of the reserved stream and of those that share its positions. Announces without waiting. */
  complete(committed: readonly Committed[]): void
  /** The transaction rolled back, or was never begun. */
  abandon(): void
}

/**
 * The writing end of all streams of one writer: gives out ids, keeps the stored positions true, announces what was
 * committed, and says each second where every stream stands (which heals a crash between COMMIT and announcement).
 */
export class StreamWriter<All extends StreamSet = StreamSet> {
  readonly #options: StreamWriterOptions<All>
  readonly #tracks = new Map<string, PositionTrack>()
  readonly #reactions: ReadonlyMap<string, Reaction<never>>
  readonly #redisPositions = new Map<string, number>()
  #heartbeat: Timer | undefined
  #flushing: Promise<void> | undefined
  #fenced = false
  #stopped = false

  constructor(options: StreamWriterOptions<All>) {
    this.#options = options
    this.#reactions = reactionsByName(options.streams, options.reactions)
  }

  /**
   * Brings each stored position up to what its table holds (a predecessor may have died before it stored it), then
   * begins to beat. To be called after the epoch was taken: no older transaction can commit any more.
   * @throws FencedError, and whatever PostgreSQL answers
   */
  async start(): Promise<void> {
    const { db, writer, clock } = this.#options
    const stored = await readStoredPositions(db, writer.name)
    const positions = new Map<string, number>()
    for (const stream of Object.values(this.#options.streams)) {
      if (stream.kept.in !== 'table') continue
      const base = baseName(stream)
      positions.set(base, Math.max(positions.get(base) ?? stored.get(base) ?? 0, await stream.kept.newest(db)))
    }
    await this.#store(positions)
    for (const [base, position] of positions) this.#tracks.set(base, new PositionTrack(base, position))
    this.#heartbeat = clock.setInterval(() => this.#beat(), heartbeatMs)
    this.#beat()
  }

  /** Stops beating; what is being stored is waited for. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#heartbeat?.cancel()
    await this.#flushing
  }

  /** Takes `count` ids, for a transaction that the caller runs (the rooms' commit loop). */
  reserve(stream: TableStream, count: number): Reservation {
    const track = this.#track(stream)
    const taken = track.take(count)
    const ids = Array.from({ length: count }, (_, index) => taken.first + index)
    return {
      ids,
      positionStatements: () => this.#positionStatements([{ track, taken }]),
      complete: (committed) => this.#complete(track, taken, committed),
      abandon: () => this.#abandon(track, taken),
    }
  }

  /**
   * Runs `fn` in a transaction with `count` ids; commits, and announces the rows it returns (each with one of the ids as
   * its position, in their order). Resolves to the rows once they are committed; the announcement is not waited for.
   * @throws FencedError when another process has become the writer; whatever `fn` and PostgreSQL throw
   */
  async write<S extends TableStream>(
    stream: S,
    count: number,
    fn: (tx: Tx, ids: readonly number[]) => Promise<readonly RowOf<S>[]>,
  ): Promise<readonly RowOf<S>[]> {
    const reservation = this.reserve(stream, count)
    let rows: readonly RowOf<S>[] = []
    let xid: string | undefined
    try {
      await this.#options.db.transaction(async (tx) => {
        xid = undefined
        rows = await fn(tx, reservation.ids)
        const answers = await tx.pipeline(reservation.positionStatements())
        xid = answers.at(-1)?.[0]?.xid as string | undefined
      })
    } catch (err) {
      if (!(err instanceof CommitOutcomeUnknown) || xid === undefined) {
        reservation.abandon()
        // A successor gives out the same ids: the old writer may run into its rows before it comes to the fence.
        if (isUniqueViolation(err)) await this.#confirm()
        throw this.refused(err)
      }
      await this.#settle(xid, err, (committed) => (committed ? reservation.complete([{ stream, rows }]) : reservation.abandon()))
      return rows
    }
    reservation.complete([{ stream, rows }])
    return rows
  }

  /** The error to pass on for a failed write: a FencedError (the process must stop being the writer), or the error itself. */
  refused(err: unknown): unknown {
    const fenced = asFenced(err)
    if (fenced === undefined) return err
    if (!this.#fenced) {
      this.#fenced = true
      this.#options.onFenced()
    }
    return fenced
  }

  /** For a write on no stream: fails its transaction once another process has become the writer. */
  fence(): BoundSql {
    return fenceStatement(this.#options.writer)
  }

  /** Announces rows that Redis keeps, positions in one unbroken run. */
  announceKeptInRedis<Row extends { readonly position: number }>(stream: RedisStream<Row>, rows: readonly NoInfer<Row>[]): void {
    const first = rows[0]
    const last = rows.at(-1)
    if (first === undefined || last === undefined) return
    this.#redisPositions.set(stream.name, last.position)
    this.#react({ stream, rows })
    this.#publish([{ stream: stream.name, instance: this.#options.writer.name, prev: first.position - 1, token: last.position, rows }])
  }

  /** Where each stream stands for followers, by name; settle() compares it with theirs. */
  positions(): Map<string, number> {
    return new Map([...[...this.#tracks].map(([name, track]) => [name, track.announced] as const), ...this.#redisPositions])
  }

  /** True while a transaction is open or a position waits to be stored. */
  get busy(): boolean {
    return this.#flushing !== undefined || [...this.#tracks.values()].some((track) => track.busy)
  }

  #track(stream: TableStream): PositionTrack {
    const track = this.#tracks.get(baseName(stream))
    if (track === undefined) throw new Error(`the stream ${stream.name} is not one of this writer's, or the writer has not started`)
    return track
  }

  #positionStatements(of: readonly { readonly track: PositionTrack; readonly taken: Taken }[]): BoundSql[] {
    const positions = new Map<string, number>()
    for (const { track, taken } of of) {
      const position = track.positionAfter(taken)
      if (position !== undefined) positions.set(track.name, position)
    }
    // Without a position to store there is still the fence to hold, and the transaction's id to know.
    return positions.size > 0 ? [storeStatement(this.#options.writer, positions)] : [fenceStatement(this.#options.writer)]
  }

  #complete(track: PositionTrack, taken: Taken, committed: readonly Committed[]): void {
    if (taken.state !== 'open') throw new Error(`a reservation of ${track.name} was ended twice`)
    for (const part of committed) this.#react(part)
    track.committed(taken, committed)
    this.#announce(track)
  }

  #abandon(track: PositionTrack, taken: Taken): void {
    if (taken.state !== 'open') throw new Error(`a reservation of ${track.name} was ended twice`)
    track.abandoned(taken)
    this.#announce(track)
  }

  #announce(track: PositionTrack): void {
    const step = track.announceable()
    if (step !== undefined) this.#publish(announcementsOf(track.name, this.#options.writer.name, step))
    if (track.behind !== undefined) this.#flush()
  }

  #react({ stream, rows, texts }: Pick<Committed, 'rows' | 'texts'> & { readonly stream: { readonly name: string } }): void {
    const reaction = this.#reactions.get(stream.name)
    const last = rows.at(-1) as { readonly position: number } | undefined
    if (reaction === undefined || last === undefined) return
    reaction(rows as readonly never[], texts?.map((text) => (text === undefined ? undefined : Buffer.from(text))) ?? [], last.position)
  }

  #publish(announcements: readonly OutgoingAnnouncement[]): void {
    this.#options.announcer.publish({ announcements })
  }

  /** Stores positions that no transaction has stored: commits that landed out of order. One statement at a time. */
  #flush(): void {
    if (this.#flushing !== undefined || this.#stopped || this.#fenced) return
    this.#flushing = this.#storeBehind().finally(() => {
      this.#flushing = undefined
    })
  }

  async #storeBehind(): Promise<void> {
    for (;;) {
      const positions = new Map<string, number>()
      for (const track of this.#tracks.values()) if (track.behind !== undefined) positions.set(track.name, track.behind)
      if (positions.size === 0) return
      try {
        await this.#store(positions)
      } catch (err) {
        // The next heartbeat tries again.
        if (!(err instanceof FencedError)) this.#options.log.warn({ err }, 'stream positions could not be stored')
        return
      }
      for (const [name, position] of positions) {
        const track = this.#tracks.get(name)!
        track.stored(position)
        this.#announce(track)
      }
    }
  }

  /** @throws FencedError where another process has become the writer */
  async #confirm(): Promise<void> {
    try {
      await this.#options.db.commitPipeline([this.fence()])
    } catch (err) {
      const refused = this.refused(err)
      if (refused instanceof FencedError) throw refused
    }
  }

  async #store(positions: ReadonlyMap<string, number>): Promise<void> {
    try {
      await this.#options.db.commitPipeline([storeAllStatement(this.#options.writer, positions)])
    } catch (err) {
      throw this.refused(err)
    }
  }

  #beat(): void {
    if (this.#fenced) return
    const instance = this.#options.writer.name
    const announcements = [...this.positions()].map(([stream, token]) => ({ stream, instance, prev: token, token, rows: [] }))
    this.#options.announcer.publish({ heartbeat: true, announcements })
    for (const track of this.#tracks.values()) if (track.behind !== undefined) this.#flush()
  }

  /**
   * Asks PostgreSQL what became of a transaction whose commit was not answered, and ends its reservation accordingly.
   * Resolves if it was committed; throws the error if not, or if it is not known soon (the asking goes on).
   */
  async #settle(xid: string, unknown: CommitOutcomeUnknown, end: (committed: boolean) => void): Promise<void> {
    const { clock } = this.#options
    const asked = this.#outcome(xid, unknown).then((committed) => {
      if (committed !== undefined) end(committed)
      return committed
    })
    let timer: Timer | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = clock.setTimeout(() => resolve(undefined), settleWaitMs)
    })
    const committed = await Promise.race([asked, late])
    timer?.cancel()
    if (committed !== true) throw unknown
  }

  /** Whether a transaction was committed; undefined where this writer ended before it was known: its ids stay open then. */
  async #outcome(xid: string, unknown: CommitOutcomeUnknown): Promise<boolean | undefined> {
    const { db, clock, log } = this.#options
    while (!this.#stopped && !this.#fenced) {
      try {
        await db.endBackend(unknown)
        const outcome = await outcomeOf(db, xid)
        if (outcome !== 'in progress') return outcome === 'committed'
      } catch (err) {
        log.warn({ err, xid }, 'the outcome of a commit is not known yet')
      }
      await pause(clock, settleRetryMs)
    }
    return undefined
  }
}
