import { LongEvents, SHORT_BYTES, saidBy } from './long-events.ts'
import { fromPgText, toPgText } from './pg-text.ts'
import type { BoundSql, Queryable } from './sql.ts'
import { sql } from './sql.ts'
import { insertStateGroups, readStateGroups, type StateGroupRow } from './state-groups.ts'

/** One entry of a room's current state. */
export interface StateEntryRow {
  readonly stateKeyNid: number
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number
  readonly eventId: string
  readonly sender: string
  readonly json: string
  readonly redactedBy: number | undefined
  readonly authDepth: number | undefined
}

/** A change of the current state, as the delta stream has it. */
export interface StateDeltaRow {
  readonly streamId: number
  readonly roomNid: number
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number | undefined
  readonly prevEventNid: number | undefined
}

type CurrentColumns = {
  state_key_nid: number
  type: string
  state_key: string
  event_nid: number
  event_id: string
  sender: string
  json: string
  redacted_by: number | null
  auth_depth: number | null
}

const current = sql<CurrentColumns>(
  'state.current',
  `SELECT c.state_key_nid, k.type, k.state_key, c.event_nid, e.event_id, e.sender, e.json, e.redacted_by, e.auth_depth
   FROM current_state_events c JOIN state_keys k USING (state_key_nid) JOIN events e ON e.event_nid = c.event_nid
   WHERE c.room_nid = $1 AND c.state_key_nid > $2 ORDER BY c.state_key_nid LIMIT $3`,
)
/** Entries of a page: with their events some 10 ms of the event loop. */
const PAGE = 2000
// Two values: as rows, those of a room of 20,000 members hold a process for 20 ms that has not read so many before.
const currentNids = sql<{ state_key_nids: number[] | null; event_nids: number[] | null }>(
  'state.currentNids',
  `SELECT array_agg(state_key_nid) AS state_key_nids, array_agg(event_nid) AS event_nids FROM current_state_events WHERE room_nid = $1`,
)
const currentOfTypes = sql<CurrentColumns>(
  'state.currentOfTypes',
  `SELECT c.state_key_nid, k.type, k.state_key, c.event_nid, e.event_id, e.sender, e.json, e.redacted_by, e.auth_depth
   FROM state_keys k JOIN current_state_events c ON c.room_nid = $1 AND c.state_key_nid = k.state_key_nid
   JOIN events e ON e.event_nid = c.event_nid
   WHERE (k.type, k.state_key) IN (SELECT * FROM unnest($2::text[], $3::text[]))`,
)
const currentEventNid = sql<{ event_nid: number }>(
  'state.currentEventNid',
  `SELECT c.event_nid FROM state_keys k JOIN current_state_events c ON c.room_nid = $1 AND c.state_key_nid = k.state_key_nid
   WHERE k.type = $2 AND k.state_key = $3`,
)
const keysByNids = sql<{ state_key_nid: number; type: string; state_key: string }>(
  'state.keysByNids',
  'SELECT state_key_nid, type, state_key FROM state_keys WHERE state_key_nid = ANY($1::bigint[])',
)
const keysOfLazy = sql<{ state_key_nid: number }>(
  'state.keysOfLazy',
  `SELECT state_key_nid FROM state_keys WHERE state_key_nid = ANY($1::bigint[]) AND (type <> 'm.room.member' OR state_key = ANY($2::text[]))`,
)
const nidsByKeys = sql<{ state_key_nid: number; type: string; state_key: string }>(
  'state.nidsByKeys',
  `SELECT state_key_nid, type, state_key FROM state_keys WHERE (type, state_key) IN (SELECT * FROM unnest($1::text[], $2::text[]))`,
)
const insertKeys = sql(
  'state.insertKeys',
  'INSERT INTO state_keys (state_key_nid, type, state_key) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])',
)
const upsertCurrent = sql(
  'state.upsertCurrent',
  `INSERT INTO current_state_events (room_nid, state_key_nid, event_nid) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
   ON CONFLICT (room_nid, state_key_nid) DO UPDATE SET event_nid = excluded.event_nid`,
)
const deleteCurrent = sql(
  'state.deleteCurrent',
  `DELETE FROM current_state_events c USING unnest($1::bigint[], $2::bigint[]) AS d(room_nid, state_key_nid)
   WHERE c.room_nid = d.room_nid AND c.state_key_nid = d.state_key_nid`,
)
const insertDeltas = sql(
  'state.insertDeltas',
  `INSERT INTO current_state_delta_stream (stream_id, room_nid, type, state_key, event_nid, prev_event_nid)
   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])`,
)
const eventNidAt = sql<{ event_nid: number | null }>(
  'state.eventNidAt',
  `SELECT event_nid FROM current_state_delta_stream WHERE room_nid = $1 AND type = $2 AND state_key = $3 AND stream_id <= $4
   ORDER BY stream_id DESC LIMIT 1`,
)
const viewHistory = sql<{ type: string; stream_id: number; event_nid: number | null; json: string | null }>(
  'state.viewHistory',
  `SELECT d.type, d.stream_id, d.event_nid, CASE WHEN octet_length(e.json) <= $3 THEN e.json END AS json
   FROM current_state_delta_stream d LEFT JOIN events e ON e.event_nid = d.event_nid
   WHERE d.room_nid = $1 AND (d.type, d.state_key) IN (('m.room.history_visibility', ''), ('m.room.member', $2))
   ORDER BY d.stream_id`,
)
/** From a position on: what the room's history visibility, or a user's membership, said. */
export interface ViewChange {
  readonly type: string
  readonly position: number
  /** Absent where it is no string that could be one, or the key left the state. */
  readonly value: string | undefined
}

/** Reads room state. */
export class StateReader {
  readonly #db: Queryable
  readonly #long: LongEvents

  constructor(db: Queryable) {
    this.#db = db
    this.#long = new LongEvents(db)
  }

  /** The whole current state, in pages. Whoever reads it keeps it from changing meanwhile. */
  async *current(roomNid: number): AsyncGenerator<StateEntryRow[]> {
    for (let after = 0; ; ) {
      const page = await this.#db.query(current, [roomNid, after, PAGE])
      yield page.map(toEntry)
      if (page.length < PAGE) return
      after = (page.at(-1) as CurrentColumns).state_key_nid
    }
  }

  /** The whole current state, as numbers only: state_key_nid to event_nid. */
  async currentNids(roomNid: number): Promise<Map<number, number>> {
    const [row] = await this.#db.query(currentNids, [roomNid])
    const nids = row?.event_nids ?? []
    return new Map(row?.state_key_nids?.map((key, i) => [key, nids[i] as number]))
  }

  /** The entries of the current state at these keys. */
  async currentAt(roomNid: number, keys: ReadonlyArray<readonly [type: string, stateKey: string]>): Promise<StateEntryRow[]> {
    return (
      await this.#db.query(currentOfTypes, [roomNid, keys.map(([type]) => toPgText(type)), keys.map(([, key]) => toPgText(key))])
    ).map(toEntry)
  }

  /** The event that holds at this key of the current state. */
  async currentEventNid(roomNid: number, type: string, stateKey: string): Promise<number | undefined> {
    return (await this.#db.query(currentEventNid, [roomNid, toPgText(type), toPgText(stateKey)]))[0]?.event_nid
  }

  /** The group and all it builds on, newest first; nothing where it is not there. */
  async groupChain(stateGroup: number): Promise<StateGroupRow[]> {
    const groups = await readStateGroups(this.#db, [stateGroup])
    const chain: StateGroupRow[] = []
    for (let at = groups.get(stateGroup); at !== undefined; at = groups.get(at.prevStateGroup ?? 0)) chain.push(at)
    return chain
  }

  /** Type and state key of these numbers; unknown ones are absent. */
  async keysByNids(nids: readonly number[]): Promise<Map<number, { type: string; stateKey: string }>> {
    const rows = await this.#db.query(keysByNids, [nids])
    return new Map(rows.map((row) => [row.state_key_nid, { type: fromPgText(row.type), stateKey: fromPgText(row.state_key) }]))
  }

  /** Which of these keys a client needs that loads members lazily: all but those of other members. */
  async keysOfLazy(nids: readonly number[], members: ReadonlySet<string>): Promise<number[]> {
    return (await this.#db.query(keysOfLazy, [nids, [...members].map(toPgText)])).map((row) => row.state_key_nid)
  }

  /** The numbers of those keys that have one, in no order. */
  async nidsByKeys(
    keys: ReadonlyArray<readonly [type: string, stateKey: string]>,
  ): Promise<Array<{ nid: number; type: string; stateKey: string }>> {
    const rows = await this.#db.query(nidsByKeys, [keys.map(([type]) => toPgText(type)), keys.map(([, key]) => toPgText(key))])
    return rows.map((row) => ({ nid: row.state_key_nid, type: fromPgText(row.type), stateKey: fromPgText(row.state_key) }))
  }

  /** The event that held at this key of the current state at a position. */
  async eventNidAt(roomNid: number, type: string, stateKey: string, position: number): Promise<number | undefined> {
    const [row] = await this.#db.query(eventNidAt, [roomNid, toPgText(type), toPgText(stateKey), position])
    return row?.event_nid ?? undefined
  }

  /** How a room's history visibility and a user's membership changed in the current state, oldest first; in one statement, nearly always. */
  async viewHistory(roomNid: number, userId: string): Promise<ViewChange[]> {
    const rows = await this.#db.query(viewHistory, [roomNid, toPgText(userId), SHORT_BYTES])
    const long = rows.flatMap(({ event_nid: nid, json }) => (nid !== null && json === null ? [nid] : []))
    const read = long.length === 0 ? undefined : await this.#long.say(roomNid, long)
    return rows.map(({ type, stream_id: position, event_nid: nid, json }) => {
      return { type, position, value: json !== null ? saidBy(type, json) : nid === null ? undefined : read?.get(nid) }
    })
  }
}

/** Statements that write state; they only ever run inside a transaction. */
export const stateWriter = {
  insertKeys: (keys: ReadonlyArray<{ nid: number; type: string; stateKey: string }>): BoundSql => ({
    sql: insertKeys,
    values: [keys.map((k) => k.nid), keys.map((k) => toPgText(k.type)), keys.map((k) => toPgText(k.stateKey))],
  }),
  insertGroups: insertStateGroups,
  /** One entry per key: within one statement a key must not come twice. */
  upsertCurrent: (entries: ReadonlyArray<{ roomNid: number; stateKeyNid: number; eventNid: number }>): BoundSql => ({
    sql: upsertCurrent,
    values: [entries.map((e) => e.roomNid), entries.map((e) => e.stateKeyNid), entries.map((e) => e.eventNid)],
  }),
  deleteCurrent: (entries: ReadonlyArray<{ roomNid: number; stateKeyNid: number }>): BoundSql => ({
    sql: deleteCurrent,
    values: [entries.map((e) => e.roomNid), entries.map((e) => e.stateKeyNid)],
  }),
  insertDeltas: (deltas: readonly StateDeltaRow[]): BoundSql => ({
    sql: insertDeltas,
    values: [
      deltas.map((d) => d.streamId),
      deltas.map((d) => d.roomNid),
      deltas.map((d) => toPgText(d.type)),
      deltas.map((d) => toPgText(d.stateKey)),
      deltas.map((d) => d.eventNid ?? null),
      deltas.map((d) => d.prevEventNid ?? null),
    ],
  }),
}

function toEntry(row: CurrentColumns): StateEntryRow {
  return {
    stateKeyNid: row.state_key_nid,
    type: fromPgText(row.type),
    stateKey: fromPgText(row.state_key),
    eventNid: row.event_nid,
    eventId: row.event_id,
    sender: row.sender,
    json: row.json,
    redactedBy: row.redacted_by ?? undefined,
    authDepth: row.auth_depth ?? undefined,
  }
}
