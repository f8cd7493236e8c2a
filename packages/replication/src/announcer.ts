import type { OutgoingEntry, WireEntry } from './announcement.ts'

/** The doorbell between the writer and its followers. Entries may be lost or come twice; PostgreSQL is the log. */
export interface Announcer {
  /** Hands an entry to all followers, in the order of calls; never waits and never throws: what is lost is a gap. */
  publish(entry: OutgoingEntry): void
  /** Notes where the announcements stand now, where that can be known; nothing is delivered before `begin`. */
  follow(follower: Follower): Promise<Following>
  stop(): Promise<void>
}

/** Takes announcements; {@link Replica} is one. */
export interface Follower {
  /**
   * Takes one entry; the next is handed over once the promise (if any) has resolved. `asOf`, on the monotonic clock:
   * whatever was announced before then has come by now. Absent: now; -Infinity: more is waiting.
   */
  apply(entry: WireEntry, asOf?: number): void | Promise<void>
  /** Entries may have been missed: read the stored positions. */
  resync(): void | Promise<void>
  /** True while nobody waits for what is announced: it may be read some at a time, with rests between (see {@link Following.attend}). */
  isCalm?(): boolean
}

/** A follower's place in the announcements, from before it read the stored positions. */
export interface Following {
  begin(): void
  /**
   * Somebody asks: ends a rest. Resolves once what was announced before has been applied, or that cannot be had; undefined where
   * announcements are heard at once anyway.
   */
  attend(): Promise<void> | undefined
  stop(): Promise<void>
}

/** What replication tells its surroundings; metrics.ts turns it into figures. */
export interface ReplicationObserver {
  published(entries: number, bytes: number): void
  /** An entry that did not leave this process, or did not reach a follower. */
  dropped(why: string): void
  received(bytes: number): void
  poisoned(): void
  /** Rows that were read from the table again. */
  refilled(stream: string, rows: number): void
  reactionFailed(stream: string): void
}

/** What replication logs by; the kernel's Logger is one. */
export interface ReplicationLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
