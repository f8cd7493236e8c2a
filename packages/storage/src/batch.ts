import type { QueryResultRow } from 'pg'
import pg from 'pg'
import { encodeValue } from './encode.ts'
import type { StatementError } from './errors.ts'
import type { BoundSql } from './sql.ts'
import type { WireValue, WireWriter } from './wire.ts'

export interface StatementResult {
  readonly rows: QueryResultRow[]
  /** The command tag's word: INSERT, SELECT, COMMIT, ROLLBACK ... */
  command: string
  /** Rows that the command touched or returned. */
  count: number
}

/** The part of pg's Connection that a submittable uses. */
export interface WireConnection {
  readonly stream: { write(bytes: Buffer): unknown }
  readonly parsedStatements: Record<string, string | undefined>
}

interface Field {
  readonly name: string
  readonly dataTypeID: number
}
type Parser = (text: string) => unknown

const int8 = 20
const int8Array = 1016
// Numbers are never quoted: 20,000 of them take 2 ms so.
const parseNumbers = (text: string) =>
  text === '{}'
    ? []
    : text
        .slice(1, -1)
        .split(',')
        .map((item) => (item === 'NULL' ? null : Number(item)))
/** All our bigints stay below 2^53. Given per connection: a global parser would change every other user of pg. */
export const typeParsers = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === int8) return Number
    return oid === int8Array ? parseNumbers : pg.types.getTypeParser(oid, format)
  }) as typeof pg.types.getTypeParser,
}

/**
 * Several prepared statements with ONE Sync behind them, so one round trip and one wake-up on either side.
 * Outside a transaction block PostgreSQL runs them as one transaction that commits at the Sync; after a failure it
 * skips everything up to the Sync and rolls back. CPU of client and server for two inserts and an update, fsync on:
 * 370–540 µs, against 620–640 for BEGIN to COMMIT by pg's `pipeline` (a Sync and an answer for each statement),
 * 730–1,360 one after the other, and 320–520 as one statement of several CTEs.
 */
export class Batch {
  readonly #statements: readonly BoundSql[]
  readonly #encoded: WireValue[][]
  readonly #results: StatementResult[] = []
  readonly #settle: (err: Error | undefined, results: StatementResult[]) => void
  readonly #wire: WireWriter
  /** Indices of the statements that this batch has PostgreSQL parse. */
  readonly #parsing = new Set<number>()
  #fields: readonly Field[] = []
  #parsers: Parser[] = []
  #current: StatementResult = { rows: [], command: '', count: 0 }
  #rowError: Error | undefined
  /** True once something may have reached PostgreSQL. */
  sent = false

  /** @throws TypeError where a value cannot be sent; nothing was sent then. */
  constructor(statements: readonly BoundSql[], wire: WireWriter, settle: (err: Error | undefined, results: StatementResult[]) => void) {
    this.#statements = statements
    this.#wire = wire
    this.#encoded = statements.map((statement) => statement.values.map(encodeValue))
    this.#settle = settle
  }

  /** True once PostgreSQL has answered to every statement: from here on, a lost connection may have committed. */
  get answered(): boolean {
    return this.#results.length === this.#statements.length
  }

  /** The statement whose answer comes next; pg files its text as parsed under this name when ParseComplete arrives. */
  get name(): string | undefined {
    return this.#parsing.has(this.#results.length) ? this.#statements[this.#results.length]?.sql.name : undefined
  }

  get text(): string | undefined {
    return this.#statements[this.#results.length]?.sql.text
  }

  submit(connection: WireConnection): Error | null {
    const parsing = new Map<string, string>()
    for (const [index, { sql }] of this.#statements.entries()) {
      const parsed = connection.parsedStatements[sql.name] ?? parsing.get(sql.name)
      if (parsed === undefined) {
        parsing.set(sql.name, sql.text)
        this.#parsing.add(index)
      } else if (parsed !== sql.text) return new TypeError(`two different statements are named '${sql.name}'`)
    }
    this.sent = true
    const wire = this.#wire
    for (const [index, { sql }] of this.#statements.entries()) {
      if (this.#parsing.has(index)) wire.parse(sql.name, sql.text)
      wire.bind(sql.name, this.#encoded[index] ?? [])
      // Only what returns rows has columns to describe.
      if (sql.rowless !== true) wire.describe()
      wire.execute()
    }
    wire.sync()
    connection.stream.write(wire.take())
    return null
  }

  handleRowDescription(message: { fields: readonly Field[] }): void {
    this.#fields = message.fields
    this.#parsers = message.fields.map((field) => typeParsers.getTypeParser(field.dataTypeID, 'text') as Parser)
  }

  handleDataRow(message: { fields: readonly (string | null)[] }): void {
    const row: QueryResultRow = {}
    try {
      for (let i = 0; i < this.#fields.length; i++) {
        const text = message.fields[i]
        row[this.#fields[i]!.name] = text === null || text === undefined ? null : this.#parsers[i]!(text)
      }
    } catch (err) {
      this.#rowError ??= new TypeError('a column could not be read', { cause: err })
    }
    this.#current.rows.push(row)
  }

  handleCommandComplete(message: { text: string }): void {
    const words = message.text.split(' ')
    this.#current.command = words[0] ?? ''
    this.#current.count = Number(words[words.length - 1]) || 0
    this.#next()
  }

  handleEmptyQuery(): void {
    this.#next()
  }

  handleReadyForQuery(): void {
    this.#settle(this.#rowError, this.#results)
  }

  handleError(err: Error): void {
    if (err instanceof pg.DatabaseError) (err as StatementError).statement = this.#statements[this.#results.length]?.sql.name
    this.#settle(err, this.#results)
  }

  #next(): void {
    this.#results.push(this.#current)
    this.#current = { rows: [], command: '', count: 0 }
    this.#fields = []
  }
}
