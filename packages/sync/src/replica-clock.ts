import { type AnyStream, type SyncStreamKey, streams } from '@weft/replication'
import type { Positions, StreamClock } from './positions.ts'

/** What is asked of a `Replica`. */
export interface ReplicaPositions {
  position(stream: AnyStream): number
  waitFor(stream: AnyStream, position: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean>
  everHandedOut(stream: AnyStream): Promise<number>
}

/** The {@link StreamClock} of a replica. */
export class ReplicaClock implements StreamClock {
  readonly #replica: ReplicaPositions

  constructor(replica: ReplicaPositions) {
    this.#replica = replica
  }

  now(): Positions {
    return {
      events: this.#replica.position(streams.events),
      receipts: this.#replica.position(streams.receipts),
      typing: this.#replica.position(streams.typing),
      accountData: this.#replica.position(streams.accountData),
      toDevice: this.#replica.position(streams.toDevice),
    }
  }

  waitFor(stream: SyncStreamKey, position: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    return this.#replica.waitFor(streams[stream], position, timeoutMs, signal)
  }

  everHandedOut(stream: SyncStreamKey): Promise<number> {
    return this.#replica.everHandedOut(streams[stream])
  }
}
