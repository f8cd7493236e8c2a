import type { Clock, Timer } from '@weft/kernel'
import type { ReplicationLog } from './announcer.ts'
import type { EphemeralStore, TypingRoom } from './ephemeral/ephemeral-store.ts'
import { type TypingRow, typingStream } from './streams/typing.ts'

/** What Typing needs of a StreamWriter. */
export interface TypingAnnouncer {
  announceKeptInRedis(stream: typeof typingStream, rows: readonly TypingRow[]): void
}

const longestTimerMs = 60_000
const retryMs = 1000
const largestSweep = 200

/** Who is typing, on the writer: each change is announced with its room's whole set, and so is each end by time. */
export class Typing {
  readonly #store: EphemeralStore
  readonly #announcer: TypingAnnouncer
  readonly #clock: Clock
  readonly #log: ReplicationLog
  /** Rooms in which somebody types, and when the last of them ends: Redis may forget it, followers must not keep it. */
  readonly #typed = new Map<string, { readonly room: TypingRoom; readonly until: number }>()
  #timer: Timer | undefined
  #dueAt = Number.POSITIVE_INFINITY
  #stopped = false

  constructor(options: {
    readonly store: EphemeralStore
    readonly announcer: TypingAnnouncer
    readonly clock: Clock
    readonly log: ReplicationLog
  }) {
    this.#store = options.store
    this.#announcer = options.announcer
    this.#clock = options.clock
    this.#log = options.log
  }

  /** Takes over what a predecessor left: ends what has run out, and watches the rest. */
  async start(): Promise<void> {
    await this.#expire()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /**
   * A user begins, goes on (timeoutMs) or ends (undefined) typing in a room. Resolves to the room's new set, or to
   * undefined where nothing changed or Redis is away (typing pauses then; it is no error to a client).
   */
  async setTyping(room: TypingRoom, userId: string, timeoutMs: number | undefined): Promise<TypingRow | undefined> {
    try {
      const { row, nextExpiryMs } = await this.#store.setTyping(room, userId, timeoutMs)
      if (timeoutMs !== undefined) this.#note(room, timeoutMs)
      if (row !== undefined) this.#announce([row])
      this.#watch(nextExpiryMs)
      return row
    } catch (err) {
      this.#log.debug({ err }, 'typing pauses')
      return undefined
    }
  }

  #note(room: TypingRoom, timeoutMs: number): void {
    const until = this.#clock.monotonic() + timeoutMs
    const before = this.#typed.get(room.roomId)
    if (before === undefined || before.until < until) this.#typed.set(room.roomId, { room, until })
  }

  #announce(rows: readonly TypingRow[]): void {
    for (const row of rows) {
      if (row.userIds.length === 0) this.#typed.delete(row.roomId)
    }
    this.#announcer.announceKeptInRedis(typingStream, rows)
  }

  async #expire(): Promise<void> {
    try {
      const now = this.#clock.monotonic()
      const due = [...this.#typed.values()].filter(({ until }) => until <= now).slice(0, largestSweep)
      const { rows, nextExpiryMs } = await this.#store.expireTyping(due.map(({ room }) => room))
      if (rows.length > 0) this.#announce(rows)
      this.#watch(nextExpiryMs ?? (this.#typed.size > 0 ? retryMs : undefined))
    } catch (err) {
      this.#log.debug({ err }, 'typing pauses')
      this.#watch(retryMs)
    }
  }

  #watch(nextExpiryMs: number | undefined): void {
    if (this.#stopped || nextExpiryMs === undefined) return
    const delay = Math.min(nextExpiryMs + 1, longestTimerMs)
    const dueAt = this.#clock.monotonic() + delay
    if (dueAt >= this.#dueAt) return
    this.#timer?.cancel()
    this.#dueAt = dueAt
    this.#timer = this.#clock.setTimeout(() => {
      this.#dueAt = Number.POSITIVE_INFINITY
      void this.#expire()
    }, delay)
  }
}

/** How a replica reads the streams that Redis keeps, after a gap. */
export function readKeptFrom(store: Pick<EphemeralStore, 'typing'>) {
  return async (stream: string): Promise<{ position: number; rows: readonly TypingRow[] } | undefined> => {
    if (stream !== typingStream.name) return undefined
    try {
      return await store.typing()
    } catch {
      // Redis is away: what was known stands until it is back.
      return undefined
    }
  }
}
