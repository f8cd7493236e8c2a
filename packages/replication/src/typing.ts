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

/** Who is typing, on the writer: each change is announced with its room's whole set, and so is each end by time. */
export class Typing {
  readonly #store: EphemeralStore
  readonly #announcer: TypingAnnouncer
  readonly #clock: Clock
  readonly #log: ReplicationLog
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
      if (row !== undefined) this.#announcer.announceKeptInRedis(typingStream, [row])
      this.#watch(nextExpiryMs)
      return row
    } catch (err) {
      this.#log.debug({ err }, 'typing pauses')
      return undefined
    }
  }

  async #expire(): Promise<void> {
    try {
      const { rows, nextExpiryMs } = await this.#store.expireTyping()
      if (rows.length > 0) this.#announcer.announceKeptInRedis(typingStream, rows)
      this.#watch(nextExpiryMs)
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
