import { type Clock, pause, type Timer } from '@weft/kernel'
import type { Queryable } from '@weft/storage'
import { type Announcement, type Entry, EntryDecoder, PoisonedEntry, type WireEntry } from './announcement.ts'
import type { Announcer, Follower, Following, ReplicationLog, ReplicationObserver } from './announcer.ts'
import { ReplicaTrack } from './replica-track.ts'
import { readStoredPositions } from './stored-positions.ts'
import {
  type AnyStream,
  baseName,
  type KeptInRedis,
  type ProcessClass,
  type Reaction,
  type ReactionsFor,
  type RowOf,
  reactionsByName,
  type StreamSet,
} from './stream.ts'

/** Three heartbeats: without one for this long a replica no longer counts as fresh, and asks PostgreSQL. */
export const freshMs = 3000
/** How often the stored positions are read while no heartbeat comes. */
const pollMs = 1000
/** A process that answered somebody this lately is about to be asked again. */
const calmAfterMs = 1000
const retryMs = 250

/** The rows that Redis keeps of a stream, as they are now; undefined while they cannot be read. */
export type ReadKept = (
  stream: string,
) => Promise<{ readonly position: number; readonly rows: readonly { readonly position: number }[] } | undefined>

/** What a {@link Replica} follows, and where it reads what it missed. */
export interface ReplicaOptions<All extends StreamSet, Class extends ProcessClass> {
  readonly class: Class
  readonly streams: All
  /** One for every stream that the class reads. */
  readonly reactions: ReactionsFor<All, Class>
  /** The logical writer that is followed. */
  readonly writer: string
  readonly db: Queryable
  readonly announcer: Announcer
  readonly readKept: ReadKept
  readonly clock: Clock
  readonly log: ReplicationLog
  readonly observer: ReplicationObserver
  /** Told whenever a stream that wants acknowledgements has moved. */
  readonly acknowledge?: (stream: string, position: number) => void
  /** True while nobody is being answered here: what is announced then may come later, until {@link Replica.attend} is called. */
  readonly isIdle?: () => boolean
}

/**
 * The reading end of all streams of one process. Reactions run synchronously in the order of arrival; rows arrive
 * exactly once and in order, from announcements or, after a gap, from the tables up to the stored position.
 */
export class Replica<All extends StreamSet = StreamSet, Class extends ProcessClass = ProcessClass> implements Follower {
  readonly #options: ReplicaOptions<All, Class>
  readonly #tracks = new Map<string, ReplicaTrack>()
  readonly #decoder: EntryDecoder
  /** What is known of streams that Redis keeps, by key: a later reading shows what was emptied meanwhile. */
  readonly #kept = new Map<string, Map<string, object>>()
  readonly #acknowledged: readonly ReplicaTrack[]
  readonly #told = new Map<ReplicaTrack, number>()
  #following: Following | undefined
  #timer: Timer | undefined
  #work: Promise<void> | undefined
  #heardAt = Number.NEGATIVE_INFINITY
  #askedAt = Number.NEGATIVE_INFINITY
  #stopped = false

  constructor(options: ReplicaOptions<All, Class>) {
    this.#options = options
    const read = Object.values(options.streams).filter((stream) => stream.readBy.includes(options.class))
    this.#decoder = new EntryDecoder(read)
    for (const base of read.filter((stream) => stream.positionsOf === undefined)) {
      const sharing = read.filter((stream) => stream.positionsOf === base.name)
      const track = new ReplicaTrack(base, sharing, options)
      for (const stream of [base, ...sharing]) this.#tracks.set(stream.name, track)
      if (base.kept.in === 'redis') this.#remember(track, base.kept as KeptInRedis<object>)
    }
    for (const [name, reaction] of reactionsByName(options.streams, options.reactions)) this.#tracks.get(name)?.react(name, reaction)
    this.#acknowledged = [...new Set(this.#tracks.values())].filter((track) => track.base.acknowledged === true)
  }

  /**
   * Notes where the announcements stand, reads the stored positions, lets `load` fill caches that hold as of those
   * positions or later, then follows.
   * @throws ConnectionLost when PostgreSQL cannot be read
   */
  async start(load?: (positions: ReadonlyMap<string, number>) => Promise<void>): Promise<void> {
    this.#following = await this.#options.announcer.follow(this)
    const asked = this.#options.clock.monotonic()
    const stored = await readStoredPositions(this.#options.db, this.#options.writer)
    for (const track of new Set(this.#tracks.values())) if (track.base.kept.in === 'table') track.beginAt(stored.get(track.base.name) ?? 0)
    await load?.(this.positions())
    await this.#readKept()
    this.#acknowledge()
    this.#heard(asked)
    this.#following.begin()
    this.#timer = this.#options.clock.setInterval(() => this.#poll(), pollMs)
  }

  /** Follows no more; whoever waits for a position is told false. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    for (const track of new Set(this.#tracks.values())) track.close()
    await this.#following?.stop()
    await this.#work
  }

  /** How far this process has come; 0 for a stream that it does not read. */
  position(stream: AnyStream): number {
    return this.#tracks.get(stream.name)?.position ?? 0
  }

  /** The same for all streams with positions of their own, by name; settle() compares it with the writer's. */
  positions(): Map<string, number> {
    return new Map([...new Set(this.#tracks.values())].map((track) => [track.base.name, track.position]))
  }

  /**
   * Resolves to true once this process has come to `position`; to false after `timeoutMs`, when `signal` aborts, when
   * the replica stops, and at once for a stream that Redis keeps (nobody waits for those).
   */
  async waitFor(stream: AnyStream, position: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const track = this.#tracks.get(stream.name)
    if (track === undefined) throw new Error(`a ${this.#options.class} process does not read ${stream.name}`)
    if (track.position >= position) return true
    if (track.base.kept.in === 'redis' || this.#stopped || signal?.aborted) return false
    return await track.waitFor(position, (expire) => {
      const timer = this.#options.clock.setTimeout(expire, timeoutMs)
      signal?.addEventListener('abort', expire, { once: true })
      return () => {
        timer.cancel()
        signal?.removeEventListener('abort', expire)
      }
    })
  }

  /**
   * The highest position that any process can have handed out: nothing is announced before it is stored. A token ahead
   * of it is from another history (a restored backup).
   */
  async everHandedOut(stream: AnyStream): Promise<number> {
    const stored = await readStoredPositions(this.#options.db, this.#options.writer)
    return Math.max(stored.get(baseName(stream)) ?? 0, this.position(stream))
  }

  /** Adds a reaction to those given at construction; called after them. */
  react<S extends All[keyof All]>(stream: S, reaction: Reaction<RowOf<S>>): void {
    const track = this.#tracks.get(stream.name)
    if (track === undefined) throw new Error(`a ${this.#options.class} process does not read ${stream.name}`)
    track.react(stream.name, reaction as Reaction<never>)
  }

  /** True while this process hears of changes within a second or so: what it believed a moment ago still holds. */
  fresh(): boolean {
    return this.#options.clock.monotonic() - this.#heardAt < freshMs
  }

  /**
   * Somebody asks this process: for the next second it hears of everything at once. Resolves when it has heard of what was announced
   * before, undefined where it has already.
   */
  attend(): Promise<void> | undefined {
    this.#askedAt = this.#options.clock.monotonic()
    return this.#following?.attend()
  }

  /** From the announcer. */
  isCalm(): boolean {
    return this.#options.isIdle?.() === true && this.#options.clock.monotonic() - this.#askedAt > calmAfterMs
  }

  /** From the announcer. Synchronous unless there is a gap. */
  apply(wire: WireEntry, asOf = this.#options.clock.monotonic()): void | Promise<void> {
    if (this.#work !== undefined) return this.#work.then(() => this.apply(wire, asOf))
    if (this.#stopped) return
    let entry: Entry
    try {
      entry = this.#decoder.decode(wire)
    } catch (err) {
      if (!(err instanceof PoisonedEntry)) throw err
      return this.#poisoned(err)
    }
    return this.#applyFrom(entry, 0, asOf)
  }

  /** From the announcer: something may have been missed. */
  resync(): Promise<void> {
    return this.#exclusively(() => this.#catchUp())
  }

  /** Applies what it can without waiting; from the first gap on it goes on asynchronously, and entries queue behind it. */
  #applyFrom(entry: Entry, from: number, asOf: number): void | Promise<void> {
    const { announcements } = entry
    let sharing: Announcement[] = []
    for (let index = from; index < announcements.length; index++) {
      const announcement = announcements[index]!
      const track = this.#tracks.get(announcement.stream)
      if (track === undefined || announcement.instance !== this.#options.writer) continue
      if (track.base.name !== announcement.stream) {
        sharing.push(announcement)
        continue
      }
      if (announcement.prev > track.position) {
        const first = index - sharing.length
        return this.#exclusively(() => this.#fill(track, announcement.prev)).then(() => this.#applyFilled(entry, first, track, asOf))
      }
      track.apply(announcement, sharing)
      sharing = []
    }
    this.#applied(entry, asOf)
  }

  /** After a gap was filled. Where it could not be, the announcement is ahead of everything stored: it is not true. */
  #applyFilled(entry: Entry, from: number, track: ReplicaTrack, asOf: number): void | Promise<void> {
    if (this.#stopped) return
    const announcement = entry.announcements.slice(from).find((one) => one.stream === track.base.name)
    if (announcement !== undefined && announcement.prev > track.position) {
      if (track.base.kept.in === 'table')
        return this.#poisoned(new PoisonedEntry(`${track.base.name} at ${announcement.prev} is ahead of its stored position`))
      track.beginAt(announcement.prev)
    }
    return this.#applyFrom(entry, from, asOf)
  }

  #applied(entry: Entry, asOf: number): void {
    if (entry.heartbeat && entry.announcements.some((announcement) => announcement.instance === this.#options.writer)) this.#heard(asOf)
    this.#acknowledge()
  }

  #acknowledge(): void {
    for (const track of this.#acknowledged) {
      if (this.#told.get(track) === track.position) continue
      this.#told.set(track, track.position)
      this.#options.acknowledge?.(track.base.name, track.position)
    }
  }

  #poisoned(err: PoisonedEntry): Promise<void> {
    this.#options.observer.poisoned()
    this.#options.log.warn({ err }, 'an announcement was not understood: reading the tables instead')
    return this.resync()
  }

  /** One piece of asynchronous work at a time; entries wait behind it. Never rejects. */
  #exclusively(work: () => Promise<void>): Promise<void> {
    const after = (this.#work ?? Promise.resolve())
      .then(work)
      .catch((err) => this.#options.log.warn({ err }, 'a gap could not be filled'))
      .finally(() => {
        if (this.#work === after) this.#work = undefined
      })
    this.#work = after
    return after
  }

  async #fill(track: ReplicaTrack, to: number): Promise<void> {
    if (track.base.kept.in === 'redis') return await this.#readKept()
    await this.#persistently(async () => {
      const stored = (await readStoredPositions(this.#options.db, this.#options.writer)).get(track.base.name) ?? 0
      await track.refill(this.#options.db, Math.min(to, stored), () => this.#stopped)
    })
  }

  /** Brings every stream to its stored position. */
  async #catchUp(): Promise<void> {
    await this.#persistently(() => this.#readStored())
    await this.#readKept()
  }

  async #readStored(): Promise<void> {
    const stored = await readStoredPositions(this.#options.db, this.#options.writer)
    for (const track of new Set(this.#tracks.values())) {
      if (track.base.kept.in === 'table') await track.refill(this.#options.db, stored.get(track.base.name) ?? 0, () => this.#stopped)
    }
    this.#acknowledge()
  }

  /** A gap that cannot be filled now (PostgreSQL is gone) is filled later: nothing behind it is told before. */
  async #persistently(work: () => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      try {
        return await work()
      } catch (err) {
        this.#options.log.warn({ err }, 'stored positions could not be read: trying again')
      }
      await pause(this.#options.clock, retryMs)
    }
  }

  /** Without heartbeats (Redis or the writer is gone), what was committed is read from PostgreSQL. */
  #poll(): void {
    if (this.#work !== undefined || this.#options.clock.monotonic() - this.#heardAt < pollMs * 2) return
    const asked = this.#options.clock.monotonic()
    void this.#exclusively(async () => {
      await this.#readStored()
      this.#heard(asked - pollMs)
    })
  }

  #heard(asOf: number): void {
    this.#heardAt = Math.max(this.#heardAt, asOf)
  }

  /** Streams that Redis keeps: tells what is there now, and as empty what was known and is there no more. */
  async #readKept(): Promise<void> {
    for (const track of new Set(this.#tracks.values())) {
      if (track.base.kept.in !== 'redis') continue
      const kept = track.base.kept as KeptInRedis<object>
      const now = await this.#options.readKept(track.base.name)
      if (now === undefined) continue
      const present = new Set(now.rows.map((row) => kept.keyOf(row)))
      const gone = [...(this.#kept.get(track.base.name) ?? [])].filter(([key]) => !present.has(key))
      const emptied = gone.map(([, row]) => kept.emptied(row, now.position) as { position: number })
      track.replace([...now.rows, ...emptied], now.position)
    }
  }

  #remember(track: ReplicaTrack, kept: KeptInRedis<object>): void {
    const known = new Map<string, object>()
    this.#kept.set(track.base.name, known)
    track.react(track.base.name, (rows: readonly object[]) => {
      for (const row of rows) {
        if (kept.isEmpty(row)) known.delete(kept.keyOf(row))
        else known.set(kept.keyOf(row), row)
      }
    })
  }
}
