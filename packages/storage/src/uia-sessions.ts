import { type Queryable, sql, type Tx } from './sql.ts'

/** A session of user-interactive auth. `completed` is a JSON object: stage type -> what was found, in order of completion. */
export type UiaSessionRow = {
  readonly session_id: string
  readonly creation_time: number
  readonly operation: string
  readonly user_id: string | null
  readonly request_hash: Buffer
  readonly completed: string
}

const COLUMNS = 'session_id, creation_time, operation, user_id, request_hash, completed'
const get = sql<UiaSessionRow>('uiaSessions.get', `SELECT ${COLUMNS} FROM ui_auth_sessions WHERE session_id = $1 AND creation_time > $2`)
const lock = sql<UiaSessionRow>(
  'uiaSessions.lock',
  `SELECT ${COLUMNS} FROM ui_auth_sessions WHERE session_id = $1 AND creation_time > $2 FOR UPDATE`,
)
const insert = sql(
  'uiaSessions.insert',
  `INSERT INTO ui_auth_sessions (session_id, creation_time, operation, user_id, request_hash, completed) VALUES ($1, $2, $3, $4, $5, $6)`,
)
const setCompleted = sql('uiaSessions.setCompleted', 'UPDATE ui_auth_sessions SET completed = $2 WHERE session_id = $1')
const remove = sql<{ session_id: string }>('uiaSessions.remove', 'DELETE FROM ui_auth_sessions WHERE session_id = $1 RETURNING session_id')

/** Reads sessions of user-interactive authentication. */
export class UiaSessionsReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The session, unless it was created at `bornAfter` (ms) or before. */
  async get(sessionId: string, bornAfter: number): Promise<UiaSessionRow | undefined> {
    return (await this.#db.query(get, [sessionId, bornAfter]))[0]
  }
}

/** Makes, advances and ends sessions of user-interactive authentication. */
export class UiaSessionsWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** @param row with `completed` as JSON text */
  async create(row: UiaSessionRow): Promise<void> {
    await this.#tx.query(insert, [row.session_id, row.creation_time, row.operation, row.user_id, row.request_hash, row.completed])
  }

  /** The session, held until the transaction ends. */
  async lock(sessionId: string, bornAfter: number): Promise<UiaSessionRow | undefined> {
    return (await this.#tx.query(lock, [sessionId, bornAfter]))[0]
  }

  /** @param completed JSON object: what each completed stage gave */
  async setCompleted(sessionId: string, completed: string): Promise<void> {
    await this.#tx.query(setCompleted, [sessionId, completed])
  }

  /** @returns false when it was gone already */
  async delete(sessionId: string): Promise<boolean> {
    return (await this.#tx.query(remove, [sessionId])).length === 1
  }
}
