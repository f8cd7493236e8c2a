import type { KnownRoom } from './ports.ts'

/** Who is typing where, kept outside PostgreSQL; replication's Typing implements it, tells the followers and ends it by time. */
export interface TypingStore {
  /** @param timeoutMs how long the user counts as typing; undefined ends it */
  setTyping(room: KnownRoom, userId: string, timeoutMs: number | undefined): Promise<unknown>
}

const DEFAULT_TIMEOUT_MS = 30_000
/** A client that died should not type for hours; the spec has clients repeat it every 20 to 30 s. */
const MAX_TIMEOUT_MS = 120_000

/** Spec: client-server API, "Typing Notifications". */
export class Typing {
  readonly #store: TypingStore

  constructor(store: TypingStore) {
    this.#store = store
  }

  /** @param timeoutMs as the client asked; capped at two minutes */
  async set(userId: string, room: KnownRoom, typing: boolean, timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<void> {
    await this.#store.setTyping(room, userId, typing ? Math.min(timeoutMs, MAX_TIMEOUT_MS) : undefined)
  }
}
