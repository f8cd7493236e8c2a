import type { Metrics } from '@weft/kernel'
import pg, { type QueryResultRow } from 'pg'
import { type Connection, clientConfig } from './connection.ts'
import { Dedicated } from './dedicated.ts'
import { type CommitOutcomeUnknown, ConnectionLost, isRefusal, isStalePlan } from './errors.ts'
import { type PoolFigures, StatementCounts } from './metrics.ts'
import { messageOf, Session } from './session.ts'
import { type BoundSql, type Queryable, type Sql, sql, type Tx } from './sql.ts'
import { Transaction } from './transaction.ts'

// The name guards against a process id that was given to someone else since. Waits up to a second for it to go.
const endBackend = sql<{ gone: boolean }>(
  'database.endBackend',
  'SELECT pg_terminate_backend(pid, 1000) AS gone FROM pg_stat_activity WHERE pid = $1 AND application_name = $2',
)

const ANSWER_MS = 60_000
/** A full disk fails every request: the log names it so often. */
const REFUSALS_TOLD_MS = 10_000

/** What storage logs by; the kernel's Logger is one. */
export interface StorageLog {
  warn(fields: object, message: string): void
}

/** What a {@link Database} connects to, and as whom. */
export interface DatabaseOptions {
  readonly connection: Connection
  /** As pg_stat_activity shows it; a takeover ends an old writer's backends by this name. */
  readonly applicationName: string
  /** Connections at most (default 10). */
  readonly poolSize?: number
  /**
   * How long PostgreSQL may take to answer, in ms (default 60 s): a machine that vanished says nothing, and the kernel would wait for
   * it for a quarter of an hour.
   */
  readonly answerMs?: number
  readonly log?: StorageLog
  readonly metrics?: Pick<Metrics, 'use'>
}

/**
 * A pool of connections with named prepared statements. It survives PostgreSQL's absence: calls fail with
 * ConnectionLost (503 to a client) while it is gone, and work again when it is back.
 */
export class Database implements Queryable {
  readonly connection: Connection
  readonly #applicationName: string
  readonly #pool: pg.Pool
  readonly #sessions = new WeakMap<pg.PoolClient, Session>()
  /** The connection that pipelines are committed on, while none is. */
  #committing: pg.PoolClient | undefined
  #closed = false
  readonly #watched = new Set<Session | Dedicated>()
  readonly #counts: StatementCounts
  readonly #watch: NodeJS.Timeout
  readonly #log: StorageLog | undefined
  #refusalTold = Number.NEGATIVE_INFINITY

  constructor(options: DatabaseOptions) {
    this.connection = options.connection
    this.#applicationName = options.applicationName
    this.#log = options.log
    this.#pool = new pg.Pool({
      ...clientConfig(options.connection, options.applicationName),
      max: options.poolSize ?? 10,
      idleTimeoutMillis: 60_000,
      allowExitOnIdle: true,
    })
    const warn = (err: Error) => options.log?.warn({ err: err.message }, 'a connection to PostgreSQL was lost')
    this.#pool.on('error', warn)
    // A client that is checked out has no listener of the pool's; without one, a lost connection would end the process.
    this.#pool.on('connect', (client) =>
      client.on('error', (err) => {
        if (client !== this.#committing) return
        warn(err)
        this.#committing = undefined
        client.release(true)
      }),
    )
    this.#counts = new StatementCounts(() => this.#figures(), options.metrics)
    const answerMs = options.answerMs ?? ANSWER_MS
    this.#watch = setInterval(() => {
      const moment = performance.now() - answerMs
      for (const connection of this.#watched)
        if (connection.endSilence(moment)) options.log?.warn({ ms: answerMs }, 'PostgreSQL does not answer: a connection is given up')
    }, answerMs / 8).unref()
  }

  /** Statements sent since the start, BEGIN and COMMIT included. */
  get statementCount(): number {
    return this.#counts.total
  }

  /** The same by statement name. */
  get statementCounts(): ReadonlyMap<string, number> {
    return this.#counts.byName
  }

  /**
   * Runs one statement, in a transaction of its own.
   * @throws StatementError, ConnectionLost
   */
  async query<Row extends QueryResultRow>(statement: Sql<Row>, values: readonly unknown[] = []): Promise<Row[]> {
    const [result] = await this.#use((session) => session.runFresh([{ sql: statement, values }], false))
    return result!.rows as Row[]
  }

  /** Runs one statement for its effect, in a transaction of its own; resolves to the number of rows it touched. */
  async execute(statement: Sql, values: readonly unknown[] = []): Promise<number> {
    const [result] = await this.#use((session) => session.runFresh([{ sql: statement, values }], true))
    return result!.count
  }

  /**
   * Runs statements as one transaction in one round trip; all of them count or none. Resolves after the commit with each statement's rows.
   * They take one connection while that is free: PostgreSQL plans them once, and fills one page of a table rather than one a connection.
   * @throws StatementError of the first that failed (nothing was written); CommitOutcomeUnknown; ConnectionLost (nothing was written)
   */
  async commitPipeline(statements: readonly BoundSql[]): Promise<QueryResultRow[][]> {
    if (statements.length === 0) return []
    const results = await this.#use((session) => session.runFresh(statements, true), true)
    return results.map((result) => result.rows)
  }

  /**
   * Runs `fn` in a transaction; commits when it resolves, rolls back when it throws. When a migration has made a prepared
   * statement stale, `fn` runs a second time: it keeps its effects on memory for after the commit.
   * @throws what fn throws; CommitOutcomeUnknown; ConnectionLost
   */
  async transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T> {
    return await this.#use(async (session) => {
      try {
        return await attempt(session, fn)
      } catch (err) {
        if (!isStalePlan(err)) throw err
        await session.forgetStatements()
        return await attempt(session, fn)
      }
    })
  }

  /**
   * Ends the backend of a commit whose outcome is not known, which may still be at work, and resolves when it is gone:
   * from then on, what can be read is the outcome.
   * @throws ConnectionLost while PostgreSQL is away
   */
  async endBackend(unknown: CommitOutcomeUnknown): Promise<void> {
    for (;;) {
      const rows = await this.query(endBackend, [unknown.backend, this.#applicationName])
      if (rows.every((row) => row.gone)) return
    }
  }

  /**
   * A connection of its own, for locks. The caller closes it.
   * @param watched gives it up where PostgreSQL does not answer, as those of the pool; not for statements that take long, such as migrations
   */
  async dedicated({ watched = false } = {}): Promise<Dedicated> {
    const dedicated = await Dedicated.connect(this.connection, this.#applicationName, this.#counts.roundTrip)
    if (watched) {
      this.#watched.add(dedicated)
      void dedicated.ended.then(() => this.#watched.delete(dedicated))
    }
    return dedicated
  }

  /** Waits for what is running and closes all connections. */
  async close(): Promise<void> {
    clearInterval(this.#watch)
    this.#closed = true
    this.#committing?.release()
    this.#committing = undefined
    this.#counts.close()
    await this.#pool.end()
  }

  async #use<T>(fn: (session: Session) => Promise<T>, commits = false): Promise<T> {
    const client = (commits && this.#takeCommitting()) || (await this.#connect())
    let session = this.#sessions.get(client)
    if (session === undefined) {
      session = new Session(client, this.#counts.roundTrip)
      this.#sessions.set(client, session)
    }
    this.#watched.add(session)
    try {
      return await fn(session)
    } catch (err) {
      if (isRefusal(err)) this.#tellRefusal(err)
      throw err
    } finally {
      this.#watched.delete(session)
      if (commits && !session.broken && this.#mayKeep()) this.#committing = client
      else client.release(session.broken)
    }
  }

  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect()
    } catch (err) {
      throw new ConnectionLost(`PostgreSQL: ${messageOf(err)}`, { cause: err })
    }
  }

  #takeCommitting(): pg.PoolClient | undefined {
    const client = this.#committing
    this.#committing = undefined
    return client
  }

  /** Nothing else gets a connection that is kept: there must be others. */
  #mayKeep(): boolean {
    return this.#committing === undefined && !this.#closed && this.#pool.options.max > 2
  }

  #figures(): PoolFigures {
    const { totalCount, idleCount, waitingCount } = this.#pool
    return { totalCount, idleCount: idleCount + (this.#committing === undefined ? 0 : 1), waitingCount }
  }

  #tellRefusal(err: unknown): void {
    const now = performance.now()
    if (now - this.#refusalTold < REFUSALS_TOLD_MS) return
    this.#refusalTold = now
    this.#log?.warn({ err: messageOf(err) }, 'PostgreSQL refuses writes')
  }
}

async function attempt<T>(session: Session, fn: (tx: Tx) => Promise<T>): Promise<T> {
  const tx = new Transaction(session)
  let result: T
  try {
    result = await fn(tx)
  } catch (err) {
    await tx.rollback()
    throw err
  }
  await tx.commit()
  return result
}
