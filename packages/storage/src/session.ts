import pg from 'pg'
import { Batch, type StatementResult } from './batch.ts'
import { CommitOutcomeUnknown, ConnectionLost, isFatalAnswer, isStalePlan } from './errors.ts'
import type { BoundSql } from './sql.ts'
import { WireWriter } from './wire.ts'

/** Told about each round trip: the names of its statements, how long it took, and whether it failed. */
export type RoundTripObserver = (statements: readonly BoundSql[], seconds: number, failed: boolean) => void

/** One connection on which one batch runs at a time; later ones queue. */
export class Session {
  readonly client: pg.ClientBase
  readonly #observe: RoundTripObserver
  readonly #wire = new WireWriter()
  #tail: Promise<unknown> = Promise.resolve()
  #pending = 0
  /** True once the connection was lost; the pool discards it. */
  broken = false
  #sentAt: number | undefined

  constructor(client: pg.ClientBase, observe: RoundTripObserver) {
    this.client = client
    this.#observe = observe
  }

  /**
   * Sends all statements in one round trip.
   * @throws StatementError what PostgreSQL answered to the first that failed (the rest did not run)
   * @throws ConnectionLost the connection broke
   * @throws CommitOutcomeUnknown it broke when the batch, which commits, may have been committed
   */
  async run(statements: readonly BoundSql[], commits = false): Promise<StatementResult[]> {
    const done = this.#pending === 0 ? this.#send(statements, commits) : this.#tail.then(() => this.#send(statements, commits))
    this.#pending++
    this.#tail = done.then(noop, noop)
    try {
      return await done
    } catch (err) {
      // pg's error was made in the socket's data handler: the stack of the caller says more.
      if (err instanceof Error) Error.captureStackTrace(err)
      throw err
    } finally {
      this.#pending--
    }
  }

  /** As run; statements that a migration made stale are parsed anew, once. Not inside a transaction block. */
  async runFresh(statements: readonly BoundSql[], commits: boolean): Promise<StatementResult[]> {
    try {
      return await this.run(statements, commits)
    } catch (err) {
      if (!isStalePlan(err)) throw err
      await this.forgetStatements()
      return await this.run(statements, commits)
    }
  }

  /** Runs SQL text that is not prepared and may hold several statements; resolves to the rows of the last. */
  async script(text: string): Promise<pg.QueryResultRow[]> {
    try {
      const results = (await this.client.query(text)) as pg.QueryResult | pg.QueryResult[]
      return (Array.isArray(results) ? results.at(-1)?.rows : results.rows) ?? []
    } catch (err) {
      throw asConnectionLost(err) ?? err
    }
  }

  async forgetStatements(): Promise<void> {
    await this.script('DEALLOCATE ALL')
    const { connection } = this.client as unknown as { connection: { parsedStatements: Record<string, string> } }
    connection.parsedStatements = {}
  }

  /** Gives the connection up where PostgreSQL has owed an answer since before `moment` (of `performance.now()`): what waits fails. */
  endSilence(moment: number): boolean {
    if (this.#sentAt === undefined || this.#sentAt >= moment) return false
    const { connection } = this.client as unknown as { connection: { stream: { destroy(): void } } }
    connection.stream.destroy()
    return true
  }

  #send(statements: readonly BoundSql[], commits: boolean): Promise<StatementResult[]> {
    const started = performance.now()
    this.#sentAt = started
    return new Promise((resolve, reject) => {
      const batch = new Batch(statements, this.#wire, (err, results) => {
        this.#sentAt = undefined
        this.#observe(statements, (performance.now() - started) / 1000, err !== undefined)
        if (err === undefined) resolve(results)
        else reject(this.#classify(err, batch, commits))
      })
      this.client.query(batch as unknown as pg.Submittable)
    })
  }

  #classify(err: Error, batch: Batch, commits: boolean): Error {
    const lost = asConnectionLost(err)
    if (lost === undefined) return err
    this.broken = true
    // PostgreSQL answers in order: a FATAL answer before the last statement's means that it did not come to the commit.
    const known = !batch.sent || (err instanceof pg.DatabaseError && !batch.answered)
    if (!commits || known) return lost
    return new CommitOutcomeUnknown((this.client as unknown as { processID: number }).processID, err)
  }
}

/** An error of the connection as such, wrapped; undefined where PostgreSQL answered and goes on, or the caller is at fault. */
export function asConnectionLost(err: unknown): ConnectionLost | undefined {
  if (err instanceof ConnectionLost) return err
  if (err instanceof pg.DatabaseError && !isFatalAnswer(err)) return undefined
  if (err instanceof TypeError) return undefined
  return new ConnectionLost(`PostgreSQL: ${messageOf(err)}`, { cause: err })
}

/** What an error of the network says; one that stands for several attempts only has a code. */
export function messageOf(err: unknown): string {
  const { message, code } = err as { message?: string; code?: string }
  return message || code || String(err)
}

function noop(): void {}
