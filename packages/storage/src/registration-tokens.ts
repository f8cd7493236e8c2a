import { type Queryable, sql, type Tx } from './sql.ts'

const valid = sql<{ token: string }>(
  'registrationTokens.valid',
  `SELECT token FROM registration_tokens
    WHERE token = $1 AND (expiry_time IS NULL OR expiry_time > $2) AND (uses_allowed IS NULL OR completed < uses_allowed)`,
)
// The same condition again at the moment of use: two registrations may have found the last use free.
const use = sql<{ token: string }>(
  'registrationTokens.use',
  `UPDATE registration_tokens SET completed = completed + 1
    WHERE token = $1 AND (expiry_time IS NULL OR expiry_time > $2) AND (uses_allowed IS NULL OR completed < uses_allowed)
RETURNING token`,
)
const insert = sql<{ token: string }>(
  'registrationTokens.insert',
  `INSERT INTO registration_tokens (token, uses_allowed, expiry_time) VALUES ($1, $2, $3) ON CONFLICT (token) DO NOTHING RETURNING token`,
)

/** Reads registration tokens. */
export class RegistrationTokensReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** True while the token may be used for one more registration. */
  async isValid(token: string, nowMs: number): Promise<boolean> {
    return (await this.#db.query(valid, [token, nowMs])).length === 1
  }
}

/** Makes registration tokens and uses them up. */
export class RegistrationTokensWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** Uses the token once. @returns false when it is not valid (any more) */
  async use(token: string, nowMs: number): Promise<boolean> {
    return (await this.#tx.query(use, [token, nowMs])).length === 1
  }

  /** @returns false when there is such a token already */
  async create(token: string, limits: { usesAllowed?: number | undefined; expiryTime?: number | undefined }): Promise<boolean> {
    return (await this.#tx.query(insert, [token, limits.usesAllowed ?? null, limits.expiryTime ?? null])).length === 1
  }
}
