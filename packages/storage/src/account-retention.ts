import { sql, type Tx } from './sql.ts'

// By ctid: PostgreSQL has no DELETE ... LIMIT, and one statement over all old rows would hold its locks for as long as it takes.
const uiaSessions = sql(
  'retention.uiaSessions',
  `DELETE FROM ui_auth_sessions WHERE ctid = ANY(ARRAY(SELECT ctid FROM ui_auth_sessions WHERE creation_time < $1 LIMIT $2))`,
)
const deviceChanges = sql(
  'retention.deviceChanges',
  `DELETE FROM device_changes_stream WHERE ctid = ANY(ARRAY(
     SELECT ctid FROM device_changes_stream WHERE inserted_ts < $1 ORDER BY stream_id LIMIT $2))`,
)
const requestTxnIds = sql(
  'retention.requestTxnIds',
  `DELETE FROM request_txn_ids WHERE ctid = ANY(ARRAY(SELECT ctid FROM request_txn_ids WHERE inserted_ts < $1 LIMIT $2))`,
)
const eventTxnIds = sql(
  'retention.eventTxnIds',
  `DELETE FROM event_txn_ids WHERE ctid = ANY(ARRAY(SELECT ctid FROM event_txn_ids WHERE inserted_ts < $1 LIMIT $2))`,
)

const statements = { uiaSessions, deviceChanges, requestTxnIds, eventTxnIds } as const

/** Tables of the accounts whose rows serve for a while only. */
export type ExpiringTable = keyof typeof statements

/** Deletes at most `limit` rows older than `beforeMs`. @returns how many there were: as many as `limit` where there may be more */
export async function deleteExpired(tx: Tx, table: ExpiringTable, beforeMs: number, limit: number): Promise<number> {
  return tx.execute(statements[table], [beforeMs, limit])
}
