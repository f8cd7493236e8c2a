import { type Queryable, sql, type Tx } from './sql.ts'

/** An access token with what the edge needs of its account. */
export type TokenRow = {
  readonly id: number
  readonly user_id: string
  readonly device_id: string | null
  readonly valid_until_ms: number | null
  readonly admin: boolean
  readonly is_guest: boolean
  readonly locked: boolean
  readonly suspended: boolean
  readonly shadow_banned: boolean
}

const byHash = sql<TokenRow>(
  'tokens.byHash',
  `SELECT t.id, t.user_id, t.device_id, t.valid_until_ms, u.admin, u.is_guest, u.locked, u.suspended, u.shadow_banned
     FROM access_tokens t JOIN users u ON u.name = t.user_id
    WHERE t.token_hash = $1 AND NOT u.deactivated`,
)
const insert = sql<{ id: number }>(
  'tokens.insert',
  'INSERT INTO access_tokens (token_hash, user_id, device_id, created_ts) VALUES ($1, $2, $3, $4) RETURNING id',
)
const deleteById = sql<{ id: number }>('tokens.deleteById', 'DELETE FROM access_tokens WHERE id = $1 RETURNING id')
const deleteByDevices = sql<{ id: number }>(
  'tokens.deleteByDevices',
  'DELETE FROM access_tokens WHERE user_id = $1 AND device_id = ANY($2::text[]) RETURNING id',
)
const deleteByUser = sql<{ id: number }>('tokens.deleteByUser', 'DELETE FROM access_tokens WHERE user_id = $1 RETURNING id')

/** Access tokens, known by their SHA-256 only. */
export class TokensReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The token with that hash, unless its account was deactivated. Expiry is the caller's to judge. */
  async byHash(tokenHash: Buffer): Promise<TokenRow | undefined> {
    return (await this.#db.query(byHash, [tokenHash]))[0]
  }
}

/** Makes and deletes access tokens. Only hashes come here. */
export class TokensWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** @param token.tokenHash SHA-256 of the token (32 bytes) @returns the token's id */
  async create(token: { tokenHash: Buffer; userId: string; deviceId: string; createdTs: number }): Promise<number> {
    const [row] = await this.#tx.query(insert, [token.tokenHash, token.userId, token.deviceId, token.createdTs])
    return row!.id
  }

  /** @returns how many there were */
  async deleteById(id: number): Promise<number> {
    return (await this.#tx.query(deleteById, [id])).length
  }

  /** @returns how many there were */
  async deleteByDevices(userId: string, deviceIds: readonly string[]): Promise<number> {
    return (await this.#tx.query(deleteByDevices, [userId, deviceIds])).length
  }

  /** @returns how many there were */
  async deleteByUser(userId: string): Promise<number> {
    return (await this.#tx.query(deleteByUser, [userId])).length
  }
}
