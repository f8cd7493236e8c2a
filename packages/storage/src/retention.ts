import { type Queryable, type Sql, sql } from './sql.ts'

/** A table whose rows go by age. */
export interface RetentionRule {
  readonly table: string
  /** The column that says when a row was written, in milliseconds since 1970. */
  readonly writtenAt: string
  readonly hours: number
}

/** The tables whose rows go by age; schema.prisma says the same in their "Kept:" lines, and a test compares. */
export const retentionRules: readonly RetentionRule[] = [
  { table: 'event_txn_ids', writtenAt: 'inserted_ts', hours: 24 },
  { table: 'request_txn_ids', writtenAt: 'inserted_ts', hours: 24 },
  { table: 'ui_auth_sessions', writtenAt: 'creation_time', hours: 24 },
  { table: 'device_changes_stream', writtenAt: 'inserted_ts', hours: 7 * 24 },
]

const sweeps: readonly { rule: RetentionRule; statement: Sql }[] = retentionRules.map((rule) => ({
  rule,
  statement: sql(
    `retention.${rule.table}`,
    `DELETE FROM ${rule.table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM ${rule.table} WHERE ${rule.writtenAt} < $1 LIMIT $2))`,
  ),
}))

/**
 * Deletes the rows whose time has passed, a batch per transaction, so that it never locks much or long. May run
 * anywhere and any number of times at once.
 * @param now milliseconds since 1970
 * @returns rows deleted by table
 */
export async function sweepExpired(db: Queryable, now: number, batch = 5_000): Promise<Map<string, number>> {
  const deleted = new Map<string, number>()
  for (const { rule, statement } of sweeps) {
    const before = now - rule.hours * 3_600_000
    let count: number
    do {
      count = await db.execute(statement, [before, batch])
      deleted.set(rule.table, (deleted.get(rule.table) ?? 0) + count)
    } while (count === batch)
  }
  return deleted
}
