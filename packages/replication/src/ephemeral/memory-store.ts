import type { Clock } from '@weft/kernel'
import type { TypingRow } from '../streams/typing.ts'
import type { BucketAnswer, BucketLimit, EphemeralStore, TypingChange, TypingRoom } from './ephemeral-store.ts'
import { MemoryBuckets } from './memory-buckets.ts'

interface Room extends TypingRoom {
  /** When each user's typing runs out, on the monotonic clock. */
  readonly users: Map<string, number>
}

/** The ephemeral store of the single layout. */
export class MemoryEphemeralStore implements EphemeralStore {
  readonly #clock: Clock
  readonly #buckets: MemoryBuckets
  readonly #rooms = new Map<string, Room>()
  #position: number

  constructor(options: { readonly clock: Clock }) {
    this.#clock = options.clock
    this.#buckets = new MemoryBuckets(options)
    this.#position = Math.floor(options.clock.now())
  }

  async setTyping({ roomNid, roomId }: TypingRoom, userId: string, timeoutMs: number | undefined): Promise<TypingChange> {
    const room = this.#rooms.get(roomId) ?? { roomNid, roomId, users: new Map<string, number>() }
    const ended = this.#dropExpired(room)
    const typed = room.users.has(userId)
    if (timeoutMs === undefined) room.users.delete(userId)
    else room.users.set(userId, this.#clock.monotonic() + timeoutMs)
    if (room.users.size > 0) this.#rooms.set(roomId, room)
    else this.#rooms.delete(roomId)
    const changed = ended || typed !== (timeoutMs !== undefined)
    return { row: changed ? this.#row(room) : undefined, nextExpiryMs: this.#nextExpiryMs() }
  }

  /** Memory loses nothing while its process lives: every due room is among its own. */
  async expireTyping(): Promise<{ rows: TypingRow[]; nextExpiryMs: number | undefined }> {
    const rows: TypingRow[] = []
    for (const room of [...this.#rooms.values()]) {
      if (!this.#dropExpired(room)) continue
      if (room.users.size === 0) this.#rooms.delete(room.roomId)
      rows.push(this.#row(room))
    }
    return { rows, nextExpiryMs: this.#nextExpiryMs() }
  }

  async typing(): Promise<{ position: number; rows: TypingRow[] }> {
    const position = this.#position
    const rows = [...this.#rooms.values()].map(({ roomNid, roomId, users }) => ({
      position,
      roomNid,
      roomId,
      userIds: [...users.keys()].sort(),
    }))
    return { position, rows }
  }

  take(key: string, limit: BucketLimit, cost = 1): Promise<BucketAnswer> {
    return this.#buckets.take(key, limit, cost)
  }

  async stop(): Promise<void> {}

  #row({ roomNid, roomId, users }: Room): TypingRow {
    this.#position++
    return { position: this.#position, roomNid, roomId, userIds: [...users.keys()].sort() }
  }

  #dropExpired(room: Room): boolean {
    const now = this.#clock.monotonic()
    let dropped = false
    for (const [userId, until] of room.users) if (until <= now) dropped = room.users.delete(userId)
    return dropped
  }

  #nextExpiryMs(): number | undefined {
    let next: number | undefined
    for (const { users } of this.#rooms.values()) for (const until of users.values()) if (next === undefined || until < next) next = until
    return next === undefined ? undefined : Math.max(0, next - this.#clock.monotonic())
  }
}
