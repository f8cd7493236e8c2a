import { type Queryable, sql, type Tx } from './sql.ts'

/** `room_nid` of the account's own (global) data. */
export const GLOBAL_ACCOUNT_DATA = 0

const get = sql<{ content: string | null }>(
  'accountData.get',
  'SELECT content FROM account_data WHERE user_id = $1 AND room_nid = $2 AND account_data_type = $3',
)
const ofUsers = sql<{ user_id: string; content: string | null }>(
  'accountData.ofUsers',
  'SELECT user_id, content FROM account_data WHERE user_id = ANY($1::text[]) AND room_nid = $2 AND account_data_type = $3',
)
const usage = sql<{ types: number; bytes: number }>(
  'accountData.usage',
  `SELECT count(*)::bigint AS types, coalesce(sum(octet_length(content)), 0)::bigint AS bytes
     FROM account_data WHERE user_id = $1 AND room_nid = $2 AND account_data_type <> $3 AND content IS NOT NULL`,
)
const upsert = sql(
  'accountData.upsert',
  `INSERT INTO account_data (user_id, room_nid, account_data_type, stream_id, content) VALUES ($1, $2, $3, $4, $5)
   ON CONFLICT (user_id, room_nid, account_data_type) DO UPDATE SET stream_id = EXCLUDED.stream_id, content = EXCLUDED.content`,
)

/** Reads account data, of the account (room {@link GLOBAL_ACCOUNT_DATA}) and of rooms. */
export class AccountDataReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The content as JSON text; undefined where there is none or it was deleted. */
  async get(userId: string, roomNid: number, type: string): Promise<string | undefined> {
    return (await this.#db.query(get, [userId, roomNid, type]))[0]?.content ?? undefined
  }

  /** The contents of one type that several users have, as JSON texts by user. */
  async ofUsers(userIds: readonly string[], roomNid: number, type: string): Promise<Map<string, string>> {
    const rows = await this.#db.query(ofUsers, [userIds, roomNid, type])
    return new Map(rows.flatMap((row) => (row.content === null ? [] : [[row.user_id, row.content] as const])))
  }
}

/** Writes account data. */
export class AccountDataWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** How much the user keeps in that room (or globally), the given type aside. */
  async usage(userId: string, roomNid: number, exceptType: string): Promise<{ types: number; bytes: number }> {
    const [row] = await this.#tx.query(usage, [userId, roomNid, exceptType])
    return { types: row!.types, bytes: row!.bytes }
  }

  /** @param content JSON text */
  async set(userId: string, roomNid: number, type: string, position: number, content: string): Promise<void> {
    await this.#tx.query(upsert, [userId, roomNid, type, position, content])
  }
}
