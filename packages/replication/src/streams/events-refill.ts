import { fromPgText, type Queryable, sql } from '@weft/storage'
import { largestInlineText } from '../announcement.ts'
import type { Refill } from '../stream.ts'
import type { CurrentStateDeltasRow, EventsRow } from './events.ts'
import { newestBy, reached, refillBy } from './refill.ts'

const events = sql<{
  position: number
  event_nid: number
  event_id: string
  room_nid: number
  room_id: string
  type: string
  state_key: string | null
  sender: string
  depth: number
  origin_server_ts: number
  replaces_state: number | null
  json: string
  txn_device_id: string | null
  txn_id: string | null
}>(
  'events.refill',
  `SELECT e.stream_ordering AS position, e.event_nid, e.event_id, e.room_nid, rooms.room_id, e.type, e.state_key, e.sender,
     e.depth, e.origin_server_ts, e.replaces_state, e.json, t.device_id AS txn_device_id, t.txn_id
   FROM events e JOIN rooms ON rooms.room_nid = e.room_nid LEFT JOIN event_txn_ids t ON t.event_nid = e.event_nid
   WHERE e.stream_ordering > $1 AND e.stream_ordering <= $2 ORDER BY e.stream_ordering LIMIT $3`,
)
const redacted = sql<{ event_nid: number; redacted_by: number }>(
  'events.refillRedacted',
  'SELECT event_nid, redacted_by FROM events WHERE event_id = ANY($1) AND redacted_by = ANY($2)',
)
const newest = sql<{ newest: number | null }>('events.newest', 'SELECT max(stream_ordering) AS newest FROM events')

/**
 * Event rows from the table. The facts that the writer took from the content are read from the text again; the sending
 * device and its transaction id are kept for a day.
 */
export const refillEvents: Refill<EventsRow> = async (db, fromExclusive, toInclusive, limit) => {
  const found = await db.query(events, [fromExclusive, toInclusive, limit])
  const rows = found.map(
    (row): EventsRow => ({
      position: row.position,
      eventNid: row.event_nid,
      eventId: row.event_id,
      roomNid: row.room_nid,
      roomId: row.room_id,
      type: row.type,
      stateKey: row.state_key ?? undefined,
      sender: row.sender,
      depth: row.depth,
      originServerTs: row.origin_server_ts,
      replacesNid: row.replaces_state ?? undefined,
      txnDeviceId: row.txn_device_id ?? undefined,
      txnId: row.txn_id === null ? undefined : fromPgText(row.txn_id),
      ...factsOfText(row.type, row.json),
    }),
  )
  return {
    rows: await withRedactedNids(db, rows),
    texts: found.map((row) => (Buffer.byteLength(row.json) <= largestInlineText ? row.json : undefined)),
    through: reached(found, toInclusive, limit),
  }
}

export const newestEvent = newestBy(newest)

// Several deltas share a position (a state reset may bring thousands): the bound is the position of the limit's last row.
const deltas = sql<{
  position: number
  room_nid: number
  room_id: string
  type: string
  state_key: string
  event_nid: number | null
  event_id: string | null
  prev_event_nid: number | null
  json: string | null
}>(
  'currentStateDeltas.refill',
  `SELECT d.stream_id AS position, d.room_nid, rooms.room_id, d.type, d.state_key, d.event_nid, e.event_id, d.prev_event_nid,
     CASE WHEN d.type = 'm.room.member' THEN e.json END AS json
   FROM current_state_delta_stream d JOIN rooms ON rooms.room_nid = d.room_nid LEFT JOIN events e ON e.event_nid = d.event_nid
   WHERE d.stream_id > $1 AND d.stream_id <= coalesce(
     (SELECT stream_id FROM current_state_delta_stream WHERE stream_id > $1 AND stream_id <= $2
      ORDER BY stream_id OFFSET $3::int - 1 LIMIT 1), $2)
   ORDER BY d.stream_id, d.type, d.state_key`,
)
const newestDeltaStatement = sql<{ newest: number | null }>(
  'currentStateDeltas.newest',
  'SELECT max(stream_id) AS newest FROM current_state_delta_stream',
)

export const refillDeltas: Refill<CurrentStateDeltasRow> = refillBy(deltas, (row) => ({
  position: row.position,
  roomNid: row.room_nid,
  roomId: row.room_id,
  type: row.type,
  stateKey: row.state_key,
  eventNid: row.event_nid ?? undefined,
  eventId: row.event_id ?? undefined,
  prevEventNid: row.prev_event_nid ?? undefined,
  membership: membershipOfDelta(row.type, row.json),
}))

export const newestDelta = newestBy(newestDeltaStatement)

function membershipOfDelta(type: string, json: string | null): string | undefined {
  if (type !== 'm.room.member') return undefined
  return json === null ? 'leave' : stringAt(objectAt(JSON.parse(json), 'content'), 'membership')
}

type Facts = Pick<EventsRow, 'membership' | 'redacts' | 'relation'>

/** What an events row says of the content; every key is read as the object's own (R43). */
function factsOfText(type: string, json: string): Facts {
  const event: unknown = JSON.parse(json)
  const content = objectAt(event, 'content')
  const facts: { -readonly [K in keyof Facts]: Facts[K] } = {}
  if (type === 'm.room.member') facts.membership = stringAt(content, 'membership')
  // Room version 11 moved `redacts` into the content.
  if (type === 'm.room.redaction') facts.redacts = stringAt(content, 'redacts') ?? stringAt(event, 'redacts')
  const relatesTo = objectAt(content, 'm.relates_to')
  const relType = stringAt(relatesTo, 'rel_type')
  const eventId = stringAt(relatesTo, 'event_id')
  if (relType !== undefined && eventId !== undefined) facts.relation = { relType, eventId, key: stringAt(relatesTo, 'key') }
  return facts
}

async function withRedactedNids(db: Queryable, rows: readonly EventsRow[]): Promise<EventsRow[]> {
  const redactions = rows.filter((row) => row.redacts !== undefined)
  if (redactions.length === 0) return [...rows]
  const found = await db.query(redacted, [redactions.map((row) => row.redacts), redactions.map((row) => row.eventNid)])
  const nids = new Map(found.map((row) => [row.redacted_by, row.event_nid]))
  return rows.map((row) => (nids.has(row.eventNid) ? { ...row, redactsNid: nids.get(row.eventNid) } : row))
}

function objectAt(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}

function stringAt(value: unknown, key: string): string | undefined {
  const found = objectAt(value, key)
  return typeof found === 'string' ? found : undefined
}
