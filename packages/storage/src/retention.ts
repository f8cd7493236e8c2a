import { type Sql, sql, type Tx } from './sql.ts'

const HOUR_MS = 3_600_000
const BATCH = 5_000

/** A table whose rows go by age; schema.prisma says the same in its "Kept:" line, and a test compares. */
export interface RetentionRule {
  readonly table: string
  /** How long a row is kept after it was written. */
  readonly keepMs: number
  /** Deletes at most $2 rows written before $1 (ms since 1970). */
  readonly statement: Sql
}

/** Runs transactions: a Database, or what fences them. */
interface Transactions {
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>
}

/** @param order the column by which the oldest go first: a stream's followers never find a hole */
function deleting(table: string, writtenAt: string, order?: string): { table: string; statement: Sql } {
  // By ctid: PostgreSQL has no DELETE ... LIMIT, and one statement over all old rows would hold its locks for as long as it takes.
  const old = `SELECT ctid FROM ${table} WHERE ${writtenAt} < $1${order === undefined ? '' : ` ORDER BY ${order}`} LIMIT $2`
  return { table, statement: sql(`retention.${table}`, `DELETE FROM ${table} WHERE ctid = ANY(ARRAY(${old}))`) }
}

const uiaSessions = deleting('ui_auth_sessions', 'creation_time')
const fixed: readonly RetentionRule[] = [
  { ...deleting('event_txn_ids', 'inserted_ts'), keepMs: 24 * HOUR_MS },
  { ...deleting('request_txn_ids', 'inserted_ts'), keepMs: 24 * HOUR_MS },
  // A follower that was away for longer starts anew anyway; a week is for whoever looks into an incident.
  { ...deleting('device_changes_stream', 'inserted_ts', 'stream_id'), keepMs: 7 * 24 * HOUR_MS },
]

/** Every table whose rows go by age. @param uiaSessionMs ui_auth.session_timeout */
export function retentionRules({ uiaSessionMs }: { readonly uiaSessionMs: number }): readonly RetentionRule[] {
  return [...fixed, { ...uiaSessions, keepMs: uiaSessionMs }]
}

/**
 * Deletes the rows whose time has passed, a batch in each transaction, so that it never locks much or long. May run any number of times
 * at once.
 * @param now ms since 1970
 * @returns how many there were
 * @throws the signal's reason, between batches
 */
export async function sweepExpired(
  db: Transactions,
  rule: RetentionRule,
  now: number,
  { signal, batch = BATCH }: { readonly signal?: AbortSignal; readonly batch?: number } = {},
): Promise<number> {
  const before = now - rule.keepMs
  let total = 0
  for (;;) {
    signal?.throwIfAborted()
    const deleted = await db.transaction((tx) => tx.execute(rule.statement, [before, batch]))
    total += deleted
    if (deleted < batch) return total
  }
}
