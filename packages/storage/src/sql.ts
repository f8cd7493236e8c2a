import type { QueryResultRow } from 'pg'

/**
 * A named statement. PostgreSQL parses and plans it once per connection; the name is also its metric label.
 * Columns are listed one by one (`select *` breaks prepared statements when a migration adds a column).
 */
export interface Sql<Row extends QueryResultRow = QueryResultRow> {
  readonly name: string
  readonly text: string
  /** True for a command that answers with a count only: its columns are not asked for. */
  readonly rowless?: boolean
  /** Only carries the row's type. */
  readonly _row?: Row
}

/** Defines a named statement: `const byId = sql<{ name: string }>('users.byId', 'SELECT name FROM users WHERE name = $1')`. */
export function sql<Row extends QueryResultRow = QueryResultRow>(name: string, text: string): Sql<Row> {
  if (Buffer.byteLength(name) > 63) throw new TypeError(`the statement name '${name}' is longer than PostgreSQL's 63 bytes`)
  return { name, text, rowless: /^\s*(?:INSERT|UPDATE|DELETE)\b/i.test(text) && !/\bRETURNING\b/i.test(text) }
}

/** A statement with its values, for a pipeline. */
export interface BoundSql<Row extends QueryResultRow = QueryResultRow> {
  readonly sql: Sql<Row>
  readonly values: readonly unknown[]
}

/** A statement with its values: `bind(insertEvent, [nid, roomNid])`. */
export function bind<Row extends QueryResultRow>(statement: Sql<Row>, values: readonly unknown[] = []): BoundSql<Row> {
  return { sql: statement, values }
}

/** What a Reader needs. bigint columns come as numbers (all of ours stay below 2^53), bytea as Buffer. */
export interface Queryable {
  query<Row extends QueryResultRow>(statement: Sql<Row>, values?: readonly unknown[]): Promise<Row[]>
  /** Runs a statement for its effect; resolves to the number of rows it touched. */
  execute(statement: Sql, values?: readonly unknown[]): Promise<number>
}

/** What a Writer needs: the same, inside a transaction. Only `Database.transaction` makes one. */
export interface Tx extends Queryable {
  readonly inTransaction: true
  /** Sends all statements in one round trip, in order; the first failure fails the rest and the transaction. */
  pipeline(statements: readonly BoundSql[]): Promise<QueryResultRow[][]>
}
