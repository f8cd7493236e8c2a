import { fromPgText, toPgText } from './pg-text.ts'
import { type Queryable, sql } from './sql.ts'
import type { TimelineRange } from './sync-timelines.ts'

/** Which event holds at a key of a room's state. */
export interface StateNidRow {
  readonly roomNid: number
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number
}

/** A change of a room's current state. `eventNid` is undefined where the key left the state. */
export interface SyncDeltaRow {
  readonly roomNid: number
  readonly position: number
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number | undefined
  readonly prevEventNid: number | undefined
}

const currentOf = sql<{ room_nid: number; type: string; state_key: string; event_nid: number }>(
  'sync.currentOf',
  `SELECT c.room_nid, k.type, k.state_key, c.event_nid FROM current_state_events c JOIN state_keys k USING (state_key_nid)
   WHERE c.room_nid = ANY($1::bigint[]) AND k.type <> 'm.room.member'`,
)
const currentPage = sql<{ room_nid: number; type: string; state_key: string; event_nid: number; state_key_nid: number }>(
  'sync.currentPage',
  `SELECT c.room_nid, k.type, k.state_key, c.event_nid, c.state_key_nid FROM (
     SELECT room_nid, state_key_nid, event_nid FROM current_state_events
     WHERE room_nid = ANY($1::bigint[]) AND (room_nid, state_key_nid) > ($2::bigint, $3::bigint)
     ORDER BY room_nid, state_key_nid LIMIT $4) c JOIN state_keys k USING (state_key_nid)
   ORDER BY c.room_nid, c.state_key_nid`,
)
/** Rows of a page: 10 ms of an event loop that has not read so many before, 3 later. */
const STATE_PAGE = 1000
const currentAt = sql<{ room_nid: number; type: string; state_key: string; event_nid: number }>(
  'sync.currentAt',
  `SELECT w.room_nid, k.type, k.state_key, c.event_nid
   FROM unnest($1::bigint[], $2::text[], $3::text[]) AS w(room_nid, type, state_key)
   JOIN state_keys k ON k.type = w.type AND k.state_key = w.state_key
   JOIN current_state_events c ON c.room_nid = w.room_nid AND c.state_key_nid = k.state_key_nid`,
)
const deltasAfter = sql<{
  room_nid: number
  stream_id: number
  type: string
  state_key: string
  event_nid: number | null
  prev_event_nid: number | null
}>(
  'sync.deltasAfter',
  `SELECT d.room_nid, d.stream_id, d.type, d.state_key, d.event_nid, d.prev_event_nid
   FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, after)
   JOIN current_state_delta_stream d ON d.room_nid = w.room_nid AND d.stream_id > w.after
   ORDER BY d.stream_id`,
)
const changedMembers = sql<{ room_nid: number }>(
  'sync.changedMembers',
  `SELECT w.room_nid FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w(room_nid, since, until)
   WHERE EXISTS (SELECT FROM current_state_delta_stream d WHERE d.room_nid = w.room_nid AND d.stream_id > w.since
     AND d.stream_id <= w.until AND d.type = 'm.room.member')`,
)

/** Reads rooms' current state, and how it changed. */
export class SyncStates {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /**
   * The current state of whole rooms, with or without members. A state of very many entries is read page by page: what changes
   * meanwhile is in it or not, and in the deltas that are read afterwards.
   */
  async currentOf(roomNids: readonly number[], withMembers: boolean): Promise<StateNidRow[]> {
    if (roomNids.length === 0) return []
    if (!withMembers) return (await this.#db.query(currentOf, [roomNids])).map(toStateNid)
    const found: StateNidRow[] = []
    for (let after = [0, 0]; ; ) {
      const page = await this.#db.query(currentPage, [roomNids, ...after, STATE_PAGE])
      for (const row of page) found.push(toStateNid(row))
      const last = page.at(-1)
      if (last === undefined || page.length < STATE_PAGE) return found
      after = [last.room_nid, last.state_key_nid]
    }
  }

  /** The current state at single keys. */
  async currentAt(
    wanted: ReadonlyArray<{ readonly roomNid: number; readonly type: string; readonly stateKey: string }>,
  ): Promise<StateNidRow[]> {
    if (wanted.length === 0) return []
    const values = [wanted.map((one) => one.roomNid), wanted.map((one) => toPgText(one.type)), wanted.map((one) => toPgText(one.stateKey))]
    return (await this.#db.query(currentAt, values)).map(toStateNid)
  }

  /**
   * All that changed in the current state of each room after a position, oldest first and without an end: whoever read the
   * current state before can roll it back to any position from there on.
   */
  async deltasAfter(rooms: ReadonlyArray<{ readonly roomNid: number; readonly after: number }>): Promise<SyncDeltaRow[]> {
    if (rooms.length === 0) return []
    const rows = await this.#db.query(deltasAfter, [rooms.map((room) => room.roomNid), rooms.map((room) => room.after)])
    return rows.map((row) => ({
      roomNid: row.room_nid,
      position: row.stream_id,
      type: fromPgText(row.type),
      stateKey: fromPgText(row.state_key),
      eventNid: row.event_nid ?? undefined,
      prevEventNid: row.prev_event_nid ?? undefined,
    }))
  }

  /** In which of these stretches members changed. */
  async changedMembers(ranges: ReadonlyArray<Pick<TimelineRange, 'roomNid' | 'since' | 'until'>>): Promise<Set<number>> {
    if (ranges.length === 0) return new Set()
    const values = [ranges.map((range) => range.roomNid), ranges.map((range) => range.since), ranges.map((range) => range.until)]
    return new Set((await this.#db.query(changedMembers, values)).map((row) => row.room_nid))
  }
}

function toStateNid(row: { room_nid: number; type: string; state_key: string; event_nid: number }): StateNidRow {
  return { roomNid: row.room_nid, type: fromPgText(row.type), stateKey: fromPgText(row.state_key), eventNid: row.event_nid }
}
