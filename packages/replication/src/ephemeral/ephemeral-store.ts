import type { TypingRow } from '../streams/typing.ts'

/** A room by both its names. */
export interface TypingRoom {
  readonly roomNid: number
  readonly roomId: string
}

/** Who is typing in a room after a change. */
export interface TypingChange {
  /** The new set with its position; absent where nothing changed (a user who types on). */
  readonly row: TypingRow | undefined
  /** Milliseconds until somebody's typing runs out, in any room. */
  readonly nextExpiryMs: number | undefined
}

/** How fast a bucket fills, and how much it holds. */
export interface BucketLimit {
  readonly perSecond: number
  readonly burstCount: number
}

/** Whether the tokens were there, and if not, when they will be. */
export type BucketAnswer = { ok: true } | { ok: false; retryAfterMs: number }

/** Token buckets that all processes share; http's rate limiter draws from them. */
export interface TokenBuckets {
  /** Takes `cost` tokens (default 1), or says after how many ms they are there. Never fails. */
  take(key: string, limit: BucketLimit, cost?: number): Promise<BucketAnswer>
}

/** What may be lost: who is typing, and how much of a rate limit is used up. */
export interface EphemeralStore extends TokenBuckets {
  /** Sets (or with undefined ends) a user's typing. Rejects while the store is away. */
  setTyping(room: TypingRoom, userId: string, timeoutMs: number | undefined): Promise<TypingChange>
  /**
   * Takes out whose time has run out: the new sets of their rooms. A room of `due` of which the store knows nothing (it
   * lost its memory) comes back as empty. Rejects while the store is away.
   */
  expireTyping(due: readonly TypingRoom[]): Promise<{ readonly rows: readonly TypingRow[]; readonly nextExpiryMs: number | undefined }>
  /** All rooms in which somebody is typing, and the stream's position. Rejects while the store is away. */
  typing(): Promise<{ readonly position: number; readonly rows: readonly TypingRow[] }>
  stop(): Promise<void>
}
