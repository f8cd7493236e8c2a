import type { SyncPositions, SyncStreamKey } from '@weft/replication'

/** How far each stream of a /sync answer came. Events and current-state deltas share `events`. */
export type Positions = SyncPositions

/** Before everything: what a sync without `since` starts from. */
export const BEGINNING: Positions = { events: 0, receipts: 0, typing: 0, accountData: 0, toDevice: 0 }

/** The streams that PostgreSQL keeps: a token may be ahead of this process, and then it waits. Nobody waits for typing. */
export const WAITED_FOR = ['events', 'receipts', 'accountData', 'toDevice'] as const satisfies readonly SyncStreamKey[]

/** Where this process stands in the streams, and how it waits for what others have seen already. */
export interface StreamClock {
  now(): Positions
  /** Resolves to false when the position did not come in time. */
  waitFor(stream: SyncStreamKey, position: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean>
  /** The highest position that any process can have handed out. */
  everHandedOut(stream: SyncStreamKey): Promise<number>
}
