import { type BoundSql, type Queryable, sql } from './sql.ts'

/** A redacted event whose text is still there. */
export interface RedactedEventRow {
  readonly eventNid: number
  readonly roomId: string
  readonly roomVersion: string
  readonly json: string
  readonly envelope: string
}

const due = sql<{ event_nid: number; room_id: string; room_version: string; json: string; envelope: string }>(
  'redactedEvents.due',
  `SELECT p.event_nid, r.room_id, r.room_version, e.json, e.envelope
   FROM redacted_events p JOIN events e ON e.event_nid = p.event_nid JOIN rooms r ON r.room_nid = e.room_nid
   WHERE p.redacted_ts <= $1 ORDER BY p.redacted_ts LIMIT $2`,
)
const waiting = sql<{ events: number }>('redactedEvents.waiting', 'SELECT count(*) AS events FROM redacted_events')
const erase = sql(
  'redactedEvents.erase',
  `WITH done AS (DELETE FROM redacted_events WHERE event_nid = ANY($1::bigint[]))
   UPDATE events e SET json = v.json, envelope = v.envelope
   FROM unnest($1::bigint[], $2::text[], $3::text[]) AS v(event_nid, json, envelope)
   WHERE e.event_nid = v.event_nid AND e.redacted_by IS NOT NULL`,
)

/** Reads which redacted events still have their text. */
export class RedactedEventsReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** Events redacted at or before `ts` (milliseconds since the epoch), the longest ago first. */
  async due(ts: number, limit: number): Promise<RedactedEventRow[]> {
    return (await this.#db.query(due, [ts, limit])).map((row) => ({
      eventNid: row.event_nid,
      roomId: row.room_id,
      roomVersion: row.room_version,
      json: row.json,
      envelope: row.envelope,
    }))
  }

  /** How many events wait. */
  async waiting(): Promise<number> {
    return (await this.#db.query(waiting))[0]?.events ?? 0
  }
}

/** Statements that erase redacted text; they only ever run inside a transaction. */
export const redactedEventsWriter = {
  /** Puts these texts in the place of the events' own. */
  erase: (rows: ReadonlyArray<{ eventNid: number; json: string; envelope: string }>): BoundSql => ({
    sql: erase,
    values: [rows.map((row) => row.eventNid), rows.map((row) => row.json), rows.map((row) => row.envelope)],
  }),
}
