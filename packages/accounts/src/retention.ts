import { deleteExpired, type ExpiringTable } from '@weft/storage'
import type { Clock, FencedTransactions } from './ports.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const BATCH = 5_000

/** What the retention of the accounts' tables stands on. */
export interface RetentionOptions {
  readonly fenced: FencedTransactions
  readonly clock: Clock
  /** ui_auth.session_timeout in ms. */
  readonly uiaLifetimeMs: number
}

/** A background job: kernel's `jobs.every(name, everyMs, ({ signal }) => run(signal))`. */
export interface RetentionJob {
  readonly name: string
  readonly everyMs: number
  /** Deletes batch by batch until nothing is old. @returns the number of rows deleted */
  run(signal?: AbortSignal): Promise<number>
}

/** The jobs that keep the tables of the accounts bounded. */
export function accountsRetention(options: RetentionOptions): RetentionJob[] {
  const job = (table: ExpiringTable, keepMs: number): RetentionJob => ({
    name: `retention.${table}`,
    everyMs: HOUR_MS,
    run: (signal) => deleteAllExpired(options, table, keepMs, signal),
  })
  return [
    job('uiaSessions', options.uiaLifetimeMs),
    // A follower that was away for longer starts anew anyway; a week is for whoever looks into an incident.
    job('deviceChanges', 7 * DAY_MS),
    job('requestTxnIds', DAY_MS),
    job('eventTxnIds', DAY_MS),
  ]
}

async function deleteAllExpired(options: RetentionOptions, table: ExpiringTable, keepMs: number, signal?: AbortSignal): Promise<number> {
  const before = options.clock.now() - keepMs
  let total = 0
  for (;;) {
    signal?.throwIfAborted()
    const deleted = await options.fenced.transaction((tx) => deleteExpired(tx, table, before, BATCH))
    total += deleted
    if (deleted < BATCH) return total
  }
}
