import type { RowOf, TableStream } from '@weft/replication'
import type { Queryable, Tx } from '@weft/storage'

/** Tells the time, in ms since the epoch. */
export interface Clock {
  now(): number
}

/** What accounts log by; the kernel's Logger is one. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Writes rows of a stream in one transaction with everything else that `fn` does (StreamWriter implements it). */
export interface StreamWrites {
  /**
   * @param count positions to reserve; fewer rows may come back
   * @param fn gets the positions in ascending order; keeps its effects on memory for after the commit, since it may run twice
   */
  write<S extends TableStream>(
    stream: S,
    count: number,
    fn: (tx: Tx, positions: readonly number[]) => Promise<readonly RowOf<S>[]>,
  ): Promise<unknown>
}

/** Transactions of this writer that write no stream: they hold its epoch, so that a replaced writer commits nothing. */
export interface FencedTransactions {
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>
}

/** What every service of this package that writes stands on. */
export interface WriteStores {
  readonly db: Queryable
  readonly streams: StreamWrites
  readonly fenced: FencedTransactions
  readonly clock: Clock
}

/** Token buckets shared by all processes. */
export interface Buckets {
  take(key: string, limit: BucketLimit, cost?: number): Promise<{ ok: true } | { ok: false; retryAfterMs: number }>
}

/** How fast a bucket fills, and how much it holds. */
export interface BucketLimit {
  readonly perSecond: number
  readonly burstCount: number
}

/** A room as this package needs it. */
export interface KnownRoom {
  readonly roomNid: number
  readonly roomId: string
}

/** Finds rooms by id and who is in them. */
export interface RoomLookup {
  byRoomId(roomId: string): Promise<KnownRoom | undefined>
}

/** Which rooms a user belongs to, and how. */
export interface MembershipLookup {
  membership(roomNid: number, userId: string): Promise<{ readonly membership: string } | undefined>
}
