import pg, { type QueryResultRow } from 'pg'
import { type Connection, clientConfig } from './connection.ts'
import { ConnectionLost } from './errors.ts'
import { messageOf, type RoundTripObserver, Session } from './session.ts'
import type { Queryable, Sql } from './sql.ts'

/** One connection outside the pool, for what belongs to a session: locks, scripts. Not through PgBouncer. */
export class Dedicated implements Queryable {
  readonly #client: pg.Client
  readonly #session: Session
  /** Resolves when the connection is over, with the error that ended it or undefined after close(). */
  readonly ended: Promise<Error | undefined>

  private constructor(client: pg.Client, session: Session, ended: Promise<Error | undefined>) {
    this.#client = client
    this.#session = session
    this.ended = ended
  }

  /** @throws ConnectionLost */
  static async connect(connection: Connection, applicationName: string, observe: RoundTripObserver = () => {}): Promise<Dedicated> {
    const client = new pg.Client(clientConfig(connection, applicationName))
    let reason: Error | undefined
    const ended = new Promise<Error | undefined>((resolve) => {
      client.on('error', (err) => {
        reason ??= err
      })
      client.on('end', () => resolve(reason))
    })
    try {
      await client.connect()
    } catch (err) {
      await client.end()
      throw new ConnectionLost(`PostgreSQL: ${messageOf(err)}`, { cause: err })
    }
    return new Dedicated(client, new Session(client, observe), ended)
  }

  /** The backend's process id, as in pg_stat_activity. */
  get processId(): number {
    return (this.#client as unknown as { processID: number }).processID
  }

  /**
   * True where something like PgBouncer stands between: it answers with a process id of its own. Session locks then hold
   * only in its session mode, which cannot be told from here.
   */
  async isPooled(): Promise<boolean> {
    const [row] = await this.script('SELECT pg_backend_pid() AS pid')
    return row!.pid !== this.processId
  }

  async query<Row extends QueryResultRow>(statement: Sql<Row>, values: readonly unknown[] = []): Promise<Row[]> {
    const [result] = await this.#session.runFresh([{ sql: statement, values }], false)
    return result!.rows as Row[]
  }

  async execute(statement: Sql, values: readonly unknown[] = []): Promise<number> {
    const [result] = await this.#session.runFresh([{ sql: statement, values }], false)
    return result!.count
  }

  /** Runs SQL text that is not prepared and may hold several statements; without BEGIN in it, it is one transaction. Resolves to the last one's rows. */
  async script(text: string): Promise<QueryResultRow[]> {
    return await this.#session.script(text)
  }

  /** Gives the connection up where PostgreSQL has owed an answer since before `moment` (of `performance.now()`). */
  endSilence(moment: number): boolean {
    return this.#session.endSilence(moment)
  }

  /** Ends the connection; what it locked is free. */
  async close(): Promise<void> {
    await this.#client.end()
  }
}
