import type { QueryResultRow } from 'pg'
import { ConnectionLost } from './errors.ts'
import type { Session } from './session.ts'
import { type BoundSql, bind, type Sql, sql, type Tx } from './sql.ts'

const begin = bind(sql('tx.begin', 'BEGIN'))
const commit = bind(sql('tx.commit', 'COMMIT'))
const rollback = bind(sql('tx.rollback', 'ROLLBACK'))

/** A transaction on one session. BEGIN travels with the first statement, so it costs no round trip of its own. */
export class Transaction implements Tx {
  readonly inTransaction = true
  readonly #session: Session
  #state: 'fresh' | 'open' | 'over' = 'fresh'

  constructor(session: Session) {
    this.#session = session
  }

  async query<Row extends QueryResultRow>(statement: Sql<Row>, values: readonly unknown[] = []): Promise<Row[]> {
    const [result] = await this.#run([{ sql: statement, values }])
    return result!.rows as Row[]
  }

  async execute(statement: Sql, values: readonly unknown[] = []): Promise<number> {
    const [result] = await this.#run([{ sql: statement, values }])
    return result!.count
  }

  async pipeline(statements: readonly BoundSql[]): Promise<QueryResultRow[][]> {
    if (statements.length === 0) return []
    return (await this.#run(statements)).map((result) => result.rows)
  }

  /** @throws CommitOutcomeUnknown; Error where a statement had failed and its error was swallowed */
  async commit(): Promise<void> {
    const state = this.#state
    this.#state = 'over'
    if (state !== 'open') return
    const [result] = await this.#session.run([commit], true)
    if (result!.command !== 'COMMIT') throw new Error('the transaction was rolled back: a statement in it had failed')
  }

  /** Rolls back; where even that fails the session is marked broken, and closing it rolls back. */
  async rollback(): Promise<void> {
    const state = this.#state
    this.#state = 'over'
    if (state !== 'open') return
    try {
      await this.#session.run([rollback])
    } catch (err) {
      this.#session.broken = true
      if (!(err instanceof ConnectionLost)) throw err
    }
  }

  async #run(statements: readonly BoundSql[]) {
    if (this.#state === 'over') throw new TypeError('the transaction is over: a statement was not awaited inside it')
    if (this.#state === 'open') return await this.#session.run(statements)
    this.#state = 'open'
    return (await this.#session.run([begin, ...statements])).slice(1)
  }
}
