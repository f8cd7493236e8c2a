import type { Clock, Timer } from '@weft/kernel'
import type { ReplicationLog } from './announcer.ts'
import type { EphemeralStore, TypingRoom } from './ephemeral/ephemeral-store.ts'
import type { CurrentStateDeltasRow } from './streams/events.ts'
import { type TypingRow, typingStream } from './streams/typing.ts'

/** What Typing needs of a StreamWriter. */
export interface TypingAnnouncer {
  announceKeptInRedis(stream: typeof typingStream, rows: readonly TypingRow[]): void
}

/** Somebody types in it, or is about to. */
interface TypedRoom {
  readonly room: TypingRoom
  /** When the last of them ends: Redis may forget it, followers must not keep it. */
  readonly until: number
  /** Who, and which command was the last to say so. */
  readonly users: Map<string, number>
}

const longestTimerMs = 60_000
const retryMs = 1000
const largestSweep = 200

/** Who is typing, on the writer: each change is announced with its room's whole set, and so is each end by time or by departure. */
export class Typing {
  readonly #store: EphemeralStore
  readonly #announcer: TypingAnnouncer
  readonly #clock: Clock
  readonly #log: ReplicationLog
  readonly #typed = new Map<string, TypedRoom>()
  /** Counts the commands that begin typing: an answer to an older one does not know of a newer one's user. */
  #begun = 0
  /** What a predecessor left in Redis is in `#typed`. */
  #tookOver = false
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
    // Before the answer is there, so that who leaves meanwhile is found; Redis takes the commands in their order.
    if (timeoutMs !== undefined) this.#note(room, userId, timeoutMs)
    const asOf = this.#begun
    try {
      const { row, nextExpiryMs } = await this.#store.setTyping(room, userId, timeoutMs)
      if (row !== undefined) this.#announce([row], asOf)
      this.#watch(nextExpiryMs)
      return row
    } catch (err) {
      this.#log.debug({ err }, 'typing pauses')
      this.#watch(timeoutMs)
      return undefined
    }
  }

  /**
   * Ends the typing of those who left, were kicked or banned, as changes of rooms' state are committed. Costs a look
   * into memory for who does not type. What Redis is away for ends by its time.
   */
  endOfDeparted(changes: readonly CurrentStateDeltasRow[]): void {
    for (const { membership, roomNid, roomId, stateKey } of changes) {
      if (membership === undefined || membership === 'join') continue
      if (this.#typed.get(roomId)?.users.has(stateKey)) void this.setTyping({ roomNid, roomId }, stateKey, undefined)
    }
  }

  #note(room: TypingRoom, userId: string, timeoutMs: number): void {
    const before = this.#typed.get(room.roomId)
    const until = Math.max(before?.until ?? 0, this.#clock.monotonic() + timeoutMs)
    const users = before?.users ?? new Map<string, number>()
    this.#begun++
    users.set(userId, this.#begun)
    this.#typed.set(room.roomId, { room, until, users })
  }

  /** @param asOf how many commands had begun typing when the row was asked for */
  #keep({ roomNid, roomId, userIds }: TypingRow, asOf: number): void {
    const before = this.#typed.get(roomId)
    const users = new Map(userIds.map((userId) => [userId, asOf]))
    for (const [userId, begun] of before?.users ?? []) if (begun > asOf) users.set(userId, begun)
    if (users.size === 0) {
      this.#typed.delete(roomId)
      return
    }
    // Of a room that only Redis knew it is not said when its users end: looked after now and then, until they have.
    const until = before?.until ?? this.#clock.monotonic() + longestTimerMs
    this.#typed.set(roomId, { room: { roomNid, roomId }, until, users })
  }

  #announce(rows: readonly TypingRow[], asOf: number): void {
    for (const row of rows) this.#keep(row, asOf)
    this.#announcer.announceKeptInRedis(typingStream, rows)
  }

  async #expire(): Promise<void> {
    try {
      const now = this.#clock.monotonic()
      const due = [...this.#typed.values()].filter(({ until }) => until <= now).slice(0, largestSweep)
      const asOf = this.#begun
      const { rows, nextExpiryMs } = await this.#store.expireTyping(due.map(({ room }) => room))
      if (rows.length > 0) this.#announce(rows, asOf)
      if (!this.#tookOver) await this.#takeOver()
      this.#watch(nextExpiryMs ?? (this.#typed.size > 0 ? retryMs : undefined))
    } catch (err) {
      this.#log.debug({ err }, 'typing pauses')
      this.#watch(retryMs)
    }
  }

  async #takeOver(): Promise<void> {
    const asOf = this.#begun
    const { rows } = await this.#store.typing()
    for (const row of rows) this.#keep(row, asOf)
    this.#tookOver = true
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
