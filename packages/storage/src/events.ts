import { fromPgText, toPgText } from './pg-text.ts'
import { RowInsert } from './row-insert.ts'
import { type BoundSql, type Queryable, sql } from './sql.ts'

/** An event as the table has it. `json` and `envelope` together are the PDU (`joinPdu`). */
export interface EventRow {
  readonly eventNid: number
  readonly roomNid: number
  /** Absent for what is in no timeline; negative for backfill. */
  readonly streamOrdering: number | undefined
  readonly depth: number
  /** The state after the event; absent for outliers. */
  readonly stateGroup: number | undefined
  /** The state before the event, where the state after it is that and the event, and has no row of its own (`StateGroupRow`). */
  readonly prevStateGroup: number | undefined
  readonly redactedBy: number | undefined
  readonly replacesState: number | undefined
  readonly originServerTs: number
  readonly outlier: boolean
  readonly softFailed: boolean
  readonly eventId: string
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  readonly rejectionReason: string | undefined
  readonly json: string
  readonly envelope: string
  /** One more than the greatest of its auth events, 0 without any; absent where one of theirs is. */
  readonly authDepth: number | undefined
}

/** An event without what only federation, redaction and new events built on it read. */
export type ClientEventRow = Omit<EventRow, 'envelope' | 'authDepth' | 'prevStateGroup'>

type Columns = {
  event_nid: number
  room_nid: number
  stream_ordering: number | null
  depth: number
  state_group: number | null
  redacted_by: number | null
  replaces_state: number | null
  origin_server_ts: number
  outlier: boolean
  soft_failed: boolean
  event_id: string
  type: string
  state_key: string | null
  sender: string
  rejection_reason: string | null
  json: string
}

/** The columns of a {@link ClientEventRow}, for statements of other files. */
export const CLIENT_EVENT_COLUMNS = `event_nid, room_nid, stream_ordering, depth, state_group, redacted_by, replaces_state, origin_server_ts,
  outlier, soft_failed, event_id, type, state_key, sender, rejection_reason, json`

const byNids = sql<Columns>('events.byNids', `SELECT ${CLIENT_EVENT_COLUMNS} FROM events WHERE event_nid = ANY($1::bigint[])`)
const byIds = sql<Columns>('events.byIds', `SELECT ${CLIENT_EVENT_COLUMNS} FROM events WHERE event_id = ANY($1::text[])`)
const fullByNids = sql<Columns & { envelope: string; auth_depth: number | null }>(
  'events.fullByNids',
  `SELECT ${CLIENT_EVENT_COLUMNS}, envelope, auth_depth FROM events WHERE event_nid = ANY($1::bigint[])`,
)
const idsThatExist = sql<{ event_id: string; event_nid: number; stream_ordering: number | null; outlier: boolean }>(
  'events.idsThatExist',
  'SELECT event_id, event_nid, stream_ordering, outlier FROM events WHERE event_id = ANY($1::text[])',
)
const pageBack = sql<Columns>(
  'events.pageBack',
  `SELECT ${CLIENT_EVENT_COLUMNS} FROM events
   WHERE room_nid = $1 AND stream_ordering <= $2 AND stream_ordering > $3 AND ($5::text[] IS NULL OR type = ANY($5))
   ORDER BY stream_ordering DESC LIMIT $4`,
)
const pageForward = sql<Columns>(
  'events.pageForward',
  `SELECT ${CLIENT_EVENT_COLUMNS} FROM events
   WHERE room_nid = $1 AND stream_ordering > $2 AND stream_ordering <= $3 AND ($5::text[] IS NULL OR type = ANY($5))
   ORDER BY stream_ordering LIMIT $4`,
)
const newestInRoom = sql<{ event_nid: number; event_id: string; depth: number; state_group: number | null; stream_ordering: number }>(
  'events.newestInRoom',
  `SELECT event_nid, event_id, depth, state_group, stream_ordering FROM events
   WHERE room_nid = $1 AND stream_ordering IS NOT NULL ORDER BY stream_ordering DESC LIMIT 1`,
)
const forkExtremities = sql<{ event_nid: number; event_id: string; depth: number; state_group: number | null }>(
  'events.forkExtremities',
  `SELECT e.event_nid, e.event_id, e.depth, e.state_group FROM event_forward_extremities x JOIN events e USING (event_nid)
   WHERE x.room_nid = $1 ORDER BY e.depth DESC`,
)
const insert = new RowInsert('events.insert', 'events', [
  'event_nid',
  'room_nid',
  'stream_ordering',
  'depth',
  'state_group',
  'prev_state_group',
  'replaces_state',
  'origin_server_ts',
  'event_id',
  'type',
  'state_key',
  'sender',
  'json',
  'envelope',
  'outlier',
  'soft_failed',
  'rejection_reason',
  'auth_depth',
])
const placeOutliers = sql(
  'events.placeOutliers',
  `UPDATE events e SET stream_ordering = p.stream_ordering, state_group = p.state_group, prev_state_group = p.prev_state_group,
     replaces_state = p.replaces_state, outlier = false, soft_failed = p.soft_failed, rejection_reason = p.rejection_reason
   FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[], $7::text[])
     AS p(event_nid, stream_ordering, state_group, prev_state_group, replaces_state, soft_failed, rejection_reason)
   WHERE e.event_nid = p.event_nid AND e.outlier`,
)
const setRedactedBy = sql(
  'events.setRedactedBy',
  `WITH done AS (
     UPDATE events e SET redacted_by = r.by FROM unnest($1::bigint[], $2::bigint[]) AS r(nid, by)
     WHERE e.event_nid = r.nid AND e.redacted_by IS NULL RETURNING e.event_nid),
   parted AS (DELETE FROM event_relations r USING done d WHERE r.event_nid = d.event_nid)
   INSERT INTO redacted_events (event_nid, redacted_ts) SELECT event_nid, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM done
   ON CONFLICT (event_nid) DO NOTHING`,
)
const clearExtremities = sql('events.clearExtremities', 'DELETE FROM event_forward_extremities WHERE room_nid = ANY($1::bigint[])')
const insertExtremities = sql(
  'events.insertExtremities',
  'INSERT INTO event_forward_extremities (room_nid, event_nid) SELECT * FROM unnest($1::bigint[], $2::bigint[])',
)
const insertTxns = new RowInsert('events.insertTxns', 'event_txn_ids', ['key', 'event_nid', 'inserted_ts', 'device_id', 'txn_id'])
const txnEvent = sql<{ key: Buffer; event_id: string }>(
  'events.byTxn',
  'SELECT t.key, e.event_id FROM event_txn_ids t JOIN events e USING (event_nid) WHERE t.key = ANY($1::bytea[])',
)

const txnIdsOfDevice = sql<{ event_nid: number; txn_id: string }>(
  'events.txnIdsOfDevice',
  'SELECT event_nid, txn_id FROM event_txn_ids WHERE event_nid = ANY($1::bigint[]) AND device_id = $2 AND txn_id IS NOT NULL',
)

/** By which request an event came. */
export interface EventTxn {
  /** Of user, device and path. */
  readonly key: Buffer
  readonly eventNid: number
  readonly deviceId: string | undefined
  readonly txnId: string
}

/** Reads events. */
export class EventsReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The events that exist, by nid; without envelopes. */
  async byNids(nids: readonly number[]): Promise<Map<number, ClientEventRow>> {
    if (nids.length === 0) return new Map()
    return new Map((await this.#db.query(byNids, [nids])).map((row) => [row.event_nid, toClientEventRow(row)]))
  }

  /** The event, whatever its state: callers look at `rejectionReason`, `outlier` and `streamOrdering`. */
  async byId(eventId: string): Promise<ClientEventRow | undefined> {
    // Content may name one as it likes (R03): no event has NUL in its id, and PostgreSQL would not be asked for it.
    if (eventId.includes('\0')) return undefined
    const row = (await this.#db.query(byIds, [[eventId]]))[0]
    return row && toClientEventRow(row)
  }

  /** The transaction ids that a device gave these events, which its user sent; those of other devices are absent. */
  async txnIdsOf(nids: readonly number[], deviceId: string): Promise<Map<number, string>> {
    if (nids.length === 0) return new Map()
    const rows = await this.#db.query(txnIdsOfDevice, [nids, deviceId])
    return new Map(rows.map((row) => [row.event_nid, fromPgText(row.txn_id)]))
  }

  /** With envelopes, by nid. */
  async fullByNids(nids: readonly number[]): Promise<Map<number, ClientEventRow & Pick<EventRow, 'envelope' | 'authDepth'>>> {
    if (nids.length === 0) return new Map()
    return new Map(
      (await this.#db.query(fullByNids, [nids])).map((row) => [
        row.event_nid,
        { ...toClientEventRow(row), envelope: row.envelope, authDepth: row.auth_depth ?? undefined },
      ]),
    )
  }

  /** Which of these ids are stored, for settling a COMMIT of unknown outcome. */
  async idsThatExist(
    eventIds: readonly string[],
  ): Promise<Map<string, { eventNid: number; streamOrdering: number | undefined; outlier: boolean }>> {
    const rows = await this.#db.query(idsThatExist, [eventIds])
    return new Map(
      rows.map((row) => [
        row.event_id,
        { eventNid: row.event_nid, streamOrdering: row.stream_ordering ?? undefined, outlier: row.outlier },
      ]),
    )
  }

  /**
   * A page of a room's timeline. Backwards: positions in (`until`, `from`], newest first. Forwards: (`from`, `until`].
   * @param types only these event types, where given: what a filter names without a wildcard
   */
  async page(
    roomNid: number,
    range: { direction: 'b' | 'f'; from: number; until: number; limit: number; types?: readonly string[] | undefined },
  ): Promise<ClientEventRow[]> {
    const statement = range.direction === 'b' ? pageBack : pageForward
    const types = range.types?.map(toPgText) ?? null
    return (await this.#db.query(statement, [roomNid, range.from, range.until, range.limit, types])).map(toClientEventRow)
  }

  /** The newest event of the room's timeline: its only forward extremity, unless {@link forkExtremities} has rows. */
  async newestInRoom(roomNid: number) {
    return (await this.#db.query(newestInRoom, [roomNid]))[0]
  }

  /** The stored forward extremities, the deepest first: none for a room whose only one is {@link newestInRoom}. */
  async forkExtremities(roomNid: number) {
    return this.#db.query(forkExtremities, [roomNid])
  }

  /** The events that earlier requests with these transaction keys made. */
  async byTxnKeys(keys: readonly Buffer[]): Promise<Array<{ key: Buffer; event_id: string }>> {
    return this.#db.query(txnEvent, [keys])
  }
}

/** Statements that write events; they only ever run inside a transaction. */
export const eventsWriter = {
  insert: (events: readonly EventRow[]): BoundSql[] =>
    insert.of(
      events.map((e) => [
        e.eventNid,
        e.roomNid,
        e.streamOrdering,
        e.depth,
        e.stateGroup,
        e.prevStateGroup,
        e.replacesState,
        e.originServerTs,
        e.eventId,
        toPgText(e.type),
        e.stateKey === undefined ? null : toPgText(e.stateKey),
        e.sender,
        e.json,
        e.envelope,
        e.outlier,
        e.softFailed,
        e.rejectionReason,
        e.authDepth,
      ]),
    ),
  /** Gives outliers their place in the room's history. What they are stays as it was stored. */
  placeOutliers: (events: readonly EventRow[]): BoundSql => ({
    sql: placeOutliers,
    values: [
      events.map((e) => e.eventNid),
      events.map((e) => e.streamOrdering ?? null),
      events.map((e) => e.stateGroup ?? null),
      events.map((e) => e.prevStateGroup ?? null),
      events.map((e) => e.replacesState ?? null),
      events.map((e) => e.softFailed),
      events.map((e) => e.rejectionReason ?? null),
    ],
  }),
  /** Lets redactions take effect: the events relate to nothing any more, and their texts are erased later. */
  setRedactedBy: (redactions: ReadonlyArray<{ redactsNid: number; eventNid: number }>): BoundSql => ({
    sql: setRedactedBy,
    values: [redactions.map((r) => r.redactsNid), redactions.map((r) => r.eventNid)],
  }),
  clearExtremities: (roomNids: readonly number[]): BoundSql => ({ sql: clearExtremities, values: [roomNids] }),
  insertExtremities: (rows: ReadonlyArray<{ roomNid: number; eventNid: number }>): BoundSql => ({
    sql: insertExtremities,
    values: [rows.map((r) => r.roomNid), rows.map((r) => r.eventNid)],
  }),
  /** Fails with a unique violation of `event_txn_ids_pkey` when a key was used before. */
  insertTxns: (txns: readonly EventTxn[], now: number): BoundSql[] =>
    insertTxns.of(txns.map((t) => [t.key, t.eventNid, now, t.deviceId, t.deviceId === undefined ? null : toPgText(t.txnId)])),
}

/** Makes a {@link ClientEventRow} of the columns of {@link CLIENT_EVENT_COLUMNS}. */
export function toClientEventRow(row: Columns): ClientEventRow {
  return {
    eventNid: row.event_nid,
    roomNid: row.room_nid,
    streamOrdering: row.stream_ordering ?? undefined,
    depth: row.depth,
    stateGroup: row.state_group ?? undefined,
    redactedBy: row.redacted_by ?? undefined,
    replacesState: row.replaces_state ?? undefined,
    originServerTs: row.origin_server_ts,
    outlier: row.outlier,
    softFailed: row.soft_failed,
    eventId: row.event_id,
    type: fromPgText(row.type),
    stateKey: row.state_key === null ? undefined : fromPgText(row.state_key),
    sender: row.sender,
    rejectionReason: row.rejection_reason ?? undefined,
    json: row.json,
  }
}
