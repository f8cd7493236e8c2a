import { type JsonObject, type JsonValue, parseJsonObject, setOwn } from '@weft/matrix'
import { type UiaSessionRow, UiaSessionsReader, UiaSessionsWriter } from '@weft/storage'
import type { WriteStores } from './ports.ts'

/** A session of user-interactive auth. Structurally http's UiaSession. */
export interface KeptUiaSession {
  readonly id: string
  readonly operation: string
  readonly userId: string | undefined
  readonly requestHash: Uint8Array
  readonly completed: JsonObject
}

/** What {@link UiaSessions} stands on. */
export interface UiaSessionsOptions extends Omit<WriteStores, 'streams'> {
  /** ui_auth.session_timeout in ms: how long a client has from the first challenge to the last stage. */
  readonly lifetimeMs: number
}

/** Keeps sessions in PostgreSQL: http's UiaStore. */
export class UiaSessions {
  readonly #options: UiaSessionsOptions
  readonly #reader: UiaSessionsReader

  constructor(options: UiaSessionsOptions) {
    this.#options = options
    this.#reader = new UiaSessionsReader(options.db)
  }

  async create(session: KeptUiaSession): Promise<void> {
    const row: UiaSessionRow = {
      session_id: session.id,
      creation_time: this.#options.clock.now(),
      operation: session.operation,
      user_id: session.userId ?? null,
      request_hash: Buffer.from(session.requestHash),
      completed: JSON.stringify(session.completed),
    }
    await this.#options.fenced.transaction((tx) => new UiaSessionsWriter(tx).create(row))
  }

  async get(id: string): Promise<KeptUiaSession | undefined> {
    const row = await this.#reader.get(id, this.#bornAfter())
    return row && toSession(row)
  }

  async complete(id: string, stage: string, result: JsonValue): Promise<KeptUiaSession | undefined> {
    return this.#options.fenced.transaction(async (tx) => {
      const sessions = new UiaSessionsWriter(tx)
      const row = await sessions.lock(id, this.#bornAfter())
      if (row === undefined) return undefined
      const session = toSession(row)
      setOwn(session.completed, stage, result)
      await sessions.setCompleted(id, JSON.stringify(session.completed))
      return session
    })
  }

  async delete(id: string): Promise<boolean> {
    return this.#options.fenced.transaction((tx) => new UiaSessionsWriter(tx).delete(id))
  }

  #bornAfter(): number {
    return this.#options.clock.now() - this.#options.lifetimeMs
  }
}

function toSession(row: UiaSessionRow): KeptUiaSession {
  return {
    id: row.session_id,
    operation: row.operation,
    userId: row.user_id ?? undefined,
    requestHash: row.request_hash,
    completed: parseJsonObject(row.completed),
  }
}
