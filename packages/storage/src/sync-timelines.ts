import { fromPgText, toPgText } from './pg-text.ts'
import { type Queryable, sql } from './sql.ts'

/** An event with the two others its client form shows parts of: the one it replaces and the one that redacts it. */
export interface SyncEventRow {
  readonly eventNid: number
  readonly roomNid: number
  readonly roomVersion: string
  /** Absent for what is in no timeline. */
  readonly position: number | undefined
  readonly eventId: string
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  /** In ms, as its server said. */
  readonly originServerTs: number
  readonly json: string
  readonly replaced: { readonly eventId: string; readonly json: string; readonly redacted: boolean } | undefined
  readonly redaction: { readonly eventId: string; readonly json: string } | undefined
  /** The device that sent it, and what that called it; kept for a day. */
  readonly transaction: { readonly deviceId: string; readonly txnId: string } | undefined
}

/** A stretch of a room's timeline: positions in (`since`, `until`], the newest `limit` of them. */
export interface TimelineRange {
  readonly roomNid: number
  readonly since: number
  readonly until: number
  readonly limit: number
}

/** What of a filter PostgreSQL applies; types may have `*`. */
export interface TimelineFilter {
  readonly types: readonly string[] | undefined
  readonly notTypes: readonly string[]
  readonly senders: readonly string[] | undefined
  readonly notSenders: readonly string[]
}

type EventColumns = {
  event_nid: number
  room_nid: number
  room_version: string
  stream_ordering: number | null
  event_id: string
  type: string
  state_key: string | null
  sender: string
  origin_server_ts: number
  json: string
  replaced_id: string | null
  replaced_json: string | null
  replaced_redacted_by: number | null
  redaction_id: string | null
  redaction_json: string | null
  txn_device_id: string | null
  txn_id: string | null
}
const EVENT_COLUMNS = `e.event_nid, e.room_nid, r.room_version, e.stream_ordering, e.event_id, e.type, e.state_key, e.sender,
  e.origin_server_ts, e.json,
  p.event_id AS replaced_id, p.json AS replaced_json, p.redacted_by AS replaced_redacted_by,
  b.event_id AS redaction_id, b.json AS redaction_json, x.device_id AS txn_device_id, x.txn_id`
const EVENT_JOINS = `JOIN rooms r ON r.room_nid = e.room_nid
  LEFT JOIN events p ON p.event_nid = e.replaces_state LEFT JOIN events b ON b.event_nid = e.redacted_by
  LEFT JOIN event_txn_ids x ON x.event_nid = e.event_nid`

// A filter may name 10,000 types, of which 100 may be patterns: a pattern costs some 40 ns with each event of the room, a name two.
// Rejected and soft-failed events have no position; asking for the flags too keeps them out whatever wrote the row (R12).
const timelines = sql<EventColumns>(
  'sync.timelines',
  `SELECT ${EVENT_COLUMNS}
   FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::int[]) AS w(room_nid, since, until, lim)
   CROSS JOIN LATERAL (
     SELECT * FROM events t
     WHERE t.room_nid = w.room_nid AND t.stream_ordering > w.since AND t.stream_ordering <= w.until
       AND t.rejection_reason IS NULL AND NOT t.soft_failed
       AND ($5::text[] IS NULL OR t.type = ANY($5) OR t.type LIKE ANY($6))
       AND ($7::text[] IS NULL OR t.type <> ALL($7)) AND ($8::text[] IS NULL OR NOT t.type LIKE ANY($8))
       AND ($9::text[] IS NULL OR t.sender = ANY($9)) AND ($10::text[] IS NULL OR t.sender <> ALL($10))
     ORDER BY t.stream_ordering DESC LIMIT w.lim) e
   ${EVENT_JOINS}
   ORDER BY e.stream_ordering`,
)
const eventsByNids = sql<EventColumns>(
  'sync.eventsByNids',
  `SELECT ${EVENT_COLUMNS} FROM events e ${EVENT_JOINS} WHERE e.event_nid = ANY($1::bigint[])`,
)
const envelopes = sql<{ event_nid: number; envelope: string; room_id: string; room_version: string }>(
  'sync.envelopes',
  `SELECT e.event_nid, e.envelope, r.room_id, r.room_version FROM events e JOIN rooms r ON r.room_nid = e.room_nid
   WHERE e.event_nid = ANY($1::bigint[])`,
)

/** The events that /sync shows, as they are stored. */
export class SyncTimelines {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The newest events of each range, in order of position. */
  async timelines(ranges: readonly TimelineRange[], filter: TimelineFilter): Promise<SyncEventRow[]> {
    if (ranges.length === 0) return []
    const rows = await this.#db.query(timelines, [
      ranges.map((range) => range.roomNid),
      ranges.map((range) => range.since),
      ranges.map((range) => range.until),
      ranges.map((range) => range.limit),
      filter.types === undefined ? null : namesOf(filter.types),
      patternsOf(filter.types ?? []),
      filter.notTypes.length === 0 ? null : namesOf(filter.notTypes),
      filter.notTypes.length === 0 ? null : patternsOf(filter.notTypes),
      filter.senders?.filter(canBeUserId) ?? null,
      filter.notSenders.length === 0 ? null : filter.notSenders.filter(canBeUserId),
    ])
    return rows.map(toSyncEvent)
  }

  /** The events that exist, with what is shown of their redactions and of the state that they replaced; in no order. */
  async eventsByNids(nids: readonly number[]): Promise<SyncEventRow[]> {
    if (nids.length === 0) return []
    return (await this.#db.query(eventsByNids, [nids])).map(toSyncEvent)
  }

  /** The other half of the PDUs, for `event_format: federation`. */
  async envelopes(nids: readonly number[]): Promise<Map<number, { envelope: string; roomId: string; roomVersion: string }>> {
    if (nids.length === 0) return new Map()
    const rows = await this.#db.query(envelopes, [nids])
    return new Map(rows.map((row) => [row.event_nid, { envelope: row.envelope, roomId: row.room_id, roomVersion: row.room_version }]))
  }
}

/** The types that a filter names whole. */
function namesOf(types: readonly string[]): string[] {
  return types.filter((type) => !type.includes('*')).map(toPgText)
}

/** A filter's patterns for LIKE: only `*` is a wildcard there. */
function patternsOf(types: readonly string[]): string[] {
  return types
    .filter((type) => type.includes('*'))
    .map((type) =>
      toPgText(type)
        .replace(/[\\%_]/g, '\\$&')
        .replaceAll('*', '%'),
    )
}

/** A filter may name anything, also what `text` cannot hold and no event was ever sent by (R03). */
function canBeUserId(sender: string): boolean {
  return !sender.includes('\0')
}

function toSyncEvent(row: EventColumns): SyncEventRow {
  return {
    eventNid: row.event_nid,
    roomNid: row.room_nid,
    roomVersion: row.room_version,
    position: row.stream_ordering ?? undefined,
    eventId: row.event_id,
    type: fromPgText(row.type),
    stateKey: row.state_key === null ? undefined : fromPgText(row.state_key),
    sender: row.sender,
    originServerTs: row.origin_server_ts,
    json: row.json,
    replaced:
      row.replaced_id === null || row.replaced_json === null
        ? undefined
        : { eventId: row.replaced_id, json: row.replaced_json, redacted: row.replaced_redacted_by !== null },
    redaction:
      row.redaction_id === null || row.redaction_json === null ? undefined : { eventId: row.redaction_id, json: row.redaction_json },
    transaction:
      row.txn_device_id === null || row.txn_id === null ? undefined : { deviceId: row.txn_device_id, txnId: fromPgText(row.txn_id) },
  }
}
