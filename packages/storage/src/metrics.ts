import { defineMetrics, durationBuckets, type Metrics } from '@weft/kernel'
import type { BoundSql } from './sql.ts'

/** What a pool counts. */
export const storageMetrics = defineMetrics({
  statements: { type: 'counter', name: 'weft_db_statements_total', help: 'Statements sent to PostgreSQL.', labels: ['statement'] },
  seconds: {
    type: 'counter',
    name: 'weft_db_seconds_total',
    help: 'Time spent waiting for PostgreSQL, by statement; several sent together count as "pipeline".',
    labels: ['statement'],
  },
  roundTrip: {
    type: 'histogram',
    name: 'weft_db_round_trip_seconds',
    help: 'Time from sending one or several statements to the last answer.',
    labels: [],
    buckets: durationBuckets,
  },
  failures: { type: 'counter', name: 'weft_db_failures_total', help: 'Round trips that ended in an error.', labels: [] },
  connections: {
    type: 'gauge',
    name: 'weft_db_connections',
    help: 'Connections of the pool: busy or idle.',
    labels: ['state'],
  },
  waiting: {
    type: 'gauge',
    name: 'weft_db_waiting',
    help: 'Calls that wait for a connection: steadily above 0, the pool is too small.',
    labels: [],
  },
})

/** The pool's figures of now. */
export interface PoolFigures {
  readonly totalCount: number
  readonly idleCount: number
  readonly waitingCount: number
}

/** Counts what a Database sends; with metrics, shows it there. Counting itself touches two maps only. */
export class StatementCounts {
  readonly byName = new Map<string, number>()
  readonly #seconds = new Map<string, number>()
  readonly #end: (() => void)[] = []
  readonly #observe: ((seconds: number, failed: boolean) => void) | undefined
  total = 0

  constructor(pool: () => PoolFigures, metrics: Pick<Metrics, 'use'> | undefined) {
    if (metrics === undefined) return
    const shown = metrics.use(storageMetrics)
    this.#observe = (seconds, failed) => {
      shown.roundTrip.observe(seconds)
      if (failed) shown.failures.inc()
    }
    this.#end.push(
      shown.statements.sample(() => labelled(this.byName)),
      shown.seconds.sample(() => labelled(this.#seconds)),
      shown.waiting.sample(() => pool().waitingCount),
      shown.connections.sample(() => {
        const { totalCount, idleCount } = pool()
        return [
          [{ state: 'busy' }, totalCount - idleCount],
          [{ state: 'idle' }, idleCount],
        ]
      }),
    )
  }

  /** Given to every Session. */
  readonly roundTrip = (statements: readonly BoundSql[], seconds: number, failed: boolean): void => {
    for (const { sql } of statements) this.byName.set(sql.name, (this.byName.get(sql.name) ?? 0) + 1)
    this.total += statements.length
    const first = statements[0]?.sql.name === 'tx.begin' ? 1 : 0
    const name = statements.length === first + 1 ? statements[first]!.sql.name : 'pipeline'
    this.#seconds.set(name, (this.#seconds.get(name) ?? 0) + seconds)
    this.#observe?.(seconds, failed)
  }

  /** Takes the readings out of the metrics. */
  close(): void {
    for (const end of this.#end) end()
  }
}

function* labelled(values: ReadonlyMap<string, number>): Iterable<readonly [{ statement: string }, number]> {
  for (const [statement, value] of values) yield [{ statement }, value]
}
