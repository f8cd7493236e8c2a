import { type Queryable, sql, type Tx } from './sql.ts'

/** A row of `users`. Times in ms since the epoch. */
export type UserRow = {
  readonly name: string
  readonly password_hash: string | null
  readonly creation_ts: number
  readonly admin: boolean
  readonly is_guest: boolean
  readonly deactivated: boolean
  readonly locked: boolean
  readonly suspended: boolean
  readonly shadow_banned: boolean
}

const COLUMNS = 'name, password_hash, creation_ts, admin, is_guest, deactivated, locked, suspended, shadow_banned'

const byName = sql<UserRow>('users.byName', `SELECT ${COLUMNS} FROM users WHERE name = $1`)
const byNames = sql<UserRow>('users.byNames', `SELECT ${COLUMNS} FROM users WHERE name = ANY($1::text[])`)
const lock = sql<{ deactivated: boolean }>('users.lock', 'SELECT deactivated FROM users WHERE name = $1 FOR UPDATE')
const insert = sql<{ name: string }>(
  'users.insert',
  `INSERT INTO users (name, password_hash, creation_ts, admin) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING RETURNING name`,
)

/** Accounts of this server. */
export class UsersReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The account, deactivated ones too. */
  async get(userId: string): Promise<UserRow | undefined> {
    return (await this.#db.query(byName, [userId]))[0]
  }

  /** The accounts of those user ids that exist, in no order. */
  async list(userIds: readonly string[]): Promise<UserRow[]> {
    return this.#db.query(byNames, [userIds])
  }
}

/** Makes accounts, and holds an account's row while its sessions change. */
export class UsersWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** Creates the account. @returns false when the user id is taken, by a deactivated account too */
  async create(user: { userId: string; passwordHash: string | undefined; creationTs: number; admin: boolean }): Promise<boolean> {
    const rows = await this.#tx.query(insert, [user.userId, user.passwordHash ?? null, user.creationTs, user.admin])
    return rows.length === 1
  }

  /** Holds the account's row until the transaction ends: what is counted and capped per user is counted under it. */
  async lock(userId: string): Promise<{ deactivated: boolean } | undefined> {
    return (await this.#tx.query(lock, [userId]))[0]
  }
}
