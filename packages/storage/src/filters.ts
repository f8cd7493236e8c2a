import { type Queryable, sql, type Tx } from './sql.ts'

const get = sql<{ filter_json: string }>('filters.get', 'SELECT filter_json FROM user_filters WHERE user_id = $1 AND filter_id = $2')
const byHash = sql<{ filter_id: number }>('filters.byHash', 'SELECT filter_id FROM user_filters WHERE user_id = $1 AND filter_hash = $2')
const usage = sql<{ filters: number; last: number; bytes: number }>(
  'filters.usage',
  `SELECT count(*)::bigint AS filters, coalesce(max(filter_id), -1)::bigint AS last, coalesce(sum(octet_length(filter_json)), 0)::bigint AS bytes
     FROM user_filters WHERE user_id = $1`,
)
const insert = sql('filters.insert', 'INSERT INTO user_filters (user_id, filter_id, filter_hash, filter_json) VALUES ($1, $2, $3, $4)')

/** Filters never change once they have an id, so readers may keep them. */
export class FiltersReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The filter as JSON text. */
  async get(userId: string, filterId: number): Promise<string | undefined> {
    return (await this.#db.query(get, [userId, filterId]))[0]?.filter_json
  }

  /** The id of the filter whose canonical JSON has that SHA-256. */
  async idByHash(userId: string, filterHash: Buffer): Promise<number | undefined> {
    return (await this.#db.query(byHash, [userId, filterHash]))[0]?.filter_id
  }
}

/** Call under `UsersWriter.lock`: ids are given by counting on. */
export class FiltersWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** How many filters the user has, the last id given (-1 for none), and their bytes. */
  async usage(userId: string): Promise<{ filters: number; last: number; bytes: number }> {
    const [row] = await this.#tx.query(usage, [userId])
    return { filters: row!.filters, last: row!.last, bytes: row!.bytes }
  }

  /** @param filterJson the filter as it was uploaded */
  async create(userId: string, filterId: number, filterHash: Buffer, filterJson: string): Promise<void> {
    await this.#tx.query(insert, [userId, filterId, filterHash, filterJson])
  }
}
