import type { Queryable } from '@weft/storage'
import type { Announcement } from './announcement.ts'
import type { ReplicationLog, ReplicationObserver } from './announcer.ts'
import type { AnyStream, KeptInTable, Reaction } from './stream.ts'

/** Rows read from a table at a time, while a follower fills a gap. */
const refillBatch = 200

interface Waiter {
  readonly position: number
  resolve(reached: boolean): void
}

type Rows = readonly { readonly position: number }[]

/**
 * One sequence of positions as a follower sees it: a stream with those that share its positions. Rows of the sharing
 * streams are told first, and the position moves once all have been told.
 */
export class ReplicaTrack {
  readonly base: AnyStream
  readonly sharing: readonly AnyStream[]
  readonly #reactions = new Map<string, Reaction<never>[]>()
  readonly #waiters = new Set<Waiter>()
  readonly #log: ReplicationLog
  readonly #observer: ReplicationObserver
  #position = 0

  constructor(
    base: AnyStream,
    sharing: readonly AnyStream[],
    options: { readonly log: ReplicationLog; readonly observer: ReplicationObserver },
  ) {
    this.base = base
    this.sharing = sharing
    this.#log = options.log
    this.#observer = options.observer
  }

  get position(): number {
    return this.#position
  }

  react(stream: string, reaction: Reaction<never>): void {
    const reactions = this.#reactions.get(stream)
    if (reactions === undefined) this.#reactions.set(stream, [reaction])
    else reactions.push(reaction)
  }

  /** Where to begin, without telling anybody. */
  beginAt(position: number): void {
    this.#position = position
    this.#wake()
  }

  /** Applies an announcement that begins where this track stands or before, with those of sharing streams; a part that was seen is left out. */
  apply(announcement: Announcement, sharing: readonly Announcement[]): void {
    if (announcement.token <= this.#position) return
    for (const part of sharing) this.#tell(part.stream, part.rows as Rows, part.texts, announcement.token)
    this.#tell(announcement.stream, announcement.rows as Rows, announcement.texts, announcement.token)
    this.#position = announcement.token
    this.#wake()
  }

  /** Reads what was missed from the tables, up to `to`, and tells it in order. */
  async refill(db: Queryable, to: number, stopped: () => boolean): Promise<void> {
    while (this.#position < to && !stopped()) {
      const from = this.#position
      const own = await this.#read(db, this.base, from, to)
      const shared: { stream: string; rows: Rows }[] = []
      for (const stream of this.sharing) {
        let through = from
        while (through < own.through) {
          const part = await this.#read(db, stream, through, own.through)
          shared.push({ stream: stream.name, rows: part.rows })
          through = part.through
        }
      }
      for (const part of shared) this.#tell(part.stream, part.rows, undefined, own.through)
      this.#tell(this.base.name, own.rows, own.texts, own.through)
      // An announcement may have been applied while the tables were read.
      this.#position = Math.max(this.#position, own.through)
      this.#wake()
    }
  }

  /** Tells rows as they are now, of a stream that Redis keeps. */
  replace(rows: Rows, position: number): void {
    this.#deliver(this.base.name, rows, [], position)
    this.#position = Math.max(this.#position, position)
    this.#wake()
  }

  /** Resolves to true once the position is reached, to false when the time is up or the signal aborts. */
  waitFor(position: number, expired: (expire: () => void) => () => void): Promise<boolean> {
    if (this.#position >= position) return Promise.resolve(true)
    return new Promise((resolve) => {
      const waiter: Waiter = {
        position,
        resolve: (reached) => {
          this.#waiters.delete(waiter)
          cancel()
          resolve(reached)
        },
      }
      const cancel = expired(() => waiter.resolve(false))
      this.#waiters.add(waiter)
    })
  }

  /** Lets everybody go who still waits. */
  close(): void {
    for (const waiter of [...this.#waiters]) waiter.resolve(false)
  }

  async #read(db: Queryable, stream: AnyStream, from: number, to: number) {
    const found = await (stream.kept as KeptInTable<{ readonly position: number }>).refill(db, from, to, refillBatch)
    this.#observer.refilled(stream.name, found.rows.length)
    return {
      rows: found.rows,
      texts: found.texts?.map((text) => (text === undefined ? undefined : Buffer.from(text))),
      // A table that answers with nothing new up to the end is the end: never a loop without progress.
      through: found.through > from ? found.through : to,
    }
  }

  #tell(stream: string, rows: Rows, texts: readonly (Buffer | undefined)[] | undefined, position: number): void {
    if (rows.length === 0) return
    const seen = rows[0]!.position <= this.#position ? rows.filter((row) => row.position <= this.#position).length : 0
    if (seen === rows.length) return
    this.#deliver(stream, seen === 0 ? rows : rows.slice(seen), texts === undefined ? [] : seen === 0 ? texts : texts.slice(seen), position)
  }

  #deliver(stream: string, rows: Rows, texts: readonly (Buffer | undefined)[], position: number): void {
    if (rows.length === 0) return
    for (const reaction of this.#reactions.get(stream) ?? []) {
      try {
        reaction(rows as readonly never[], texts, position)
      } catch (err) {
        // A bug in one reader must not hold up the others, nor the stream.
        this.#observer.reactionFailed(stream)
        this.#log.error({ err, stream, position }, 'a reaction to a stream failed')
      }
    }
  }

  #wake(): void {
    if (this.#waiters.size === 0) return
    for (const waiter of [...this.#waiters]) if (waiter.position <= this.#position) waiter.resolve(true)
  }
}
