import type { Queryable, Sql } from '@weft/storage'
import type { Refill, Refilled } from '../stream.ts'

interface Positioned {
  readonly position: number
}

/**
 * A refill over one statement with the parameters (from exclusive, to inclusive, limit) that orders by position and
 * lets every row of the last position in. Where the limit cut it, the last row's position is how far it came.
 */
export function refillBy<SqlRow extends Positioned, Row>(statement: Sql<SqlRow>, toRow: (row: SqlRow) => Row): Refill<Row> {
  return async (db, fromExclusive, toInclusive, limit) => {
    const found = await db.query<SqlRow>(statement, [fromExclusive, toInclusive, limit])
    return { rows: found.map(toRow), through: reached(found, toInclusive, limit) }
  }
}

/** How far a batch of rows reaches: its last row where the limit may have cut it, else the end that was asked for. */
export function reached(rows: readonly Positioned[], toInclusive: number, limit: number): Refilled<unknown>['through'] {
  return rows.length >= limit ? rows[rows.length - 1]!.position : toInclusive
}

/** The result of a `SELECT max(position) AS newest` statement, 0 for an empty table. */
export function newestBy(statement: Sql<{ newest: number | null }>): (db: Queryable) => Promise<number> {
  return async (db) => (await db.query(statement))[0]?.newest ?? 0
}
