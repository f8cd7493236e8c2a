import { fromPgText, toPgText } from './pg-text.ts'
import { type BoundSql, type Queryable, sql } from './sql.ts'

/** What the directory has of one room. */
export interface DirectoryRow {
  readonly roomNid: number
  readonly joinedMembers: number
  /** The last change of the room's current state that is in it. */
  readonly streamId: number
  readonly roomType: string | undefined
  /** What a search looks through, in lower case. */
  readonly search: string
  /** What is listed of it, as JSON text. */
  readonly entry: string
}

/** What a directory entry is made of. */
export interface DirectoryFacts {
  readonly roomNid: number
  readonly roomId: string
  readonly roomVersion: string
  readonly joinedMembers: number
  readonly streamId: number
}

/** A place in the directory: behind a room with so many members. */
export interface DirectoryPlace {
  readonly joinedMembers: number
  readonly roomNid: number
}

/** Which rooms to list. */
export interface DirectoryQuery {
  readonly limit: number
  readonly from: DirectoryPlace | undefined
  /** Towards the largest room. */
  readonly backwards: boolean
  /** In lower case. */
  readonly search: string | undefined
  /** Types to list, `null` for rooms without one; absent for all. */
  readonly roomTypes: ReadonlyArray<string | null> | undefined
}

type PageColumns = { room_nid: number; joined_members: number; entry: string }
const WANTED = `stream_id > 0 AND ($4::text IS NULL OR search LIKE $4)
   AND ($5::text[] IS NULL OR room_type = ANY($5) OR ($6::bool AND room_type IS NULL))`
const pageForward = sql<PageColumns>(
  'directory.pageForward',
  `SELECT room_nid, joined_members, entry FROM room_directory
   WHERE ($1::int IS NULL OR joined_members <= $1 AND (joined_members < $1 OR room_nid > $2)) AND ${WANTED}
   ORDER BY joined_members DESC, room_nid LIMIT $3`,
)
const pageBack = sql<PageColumns>(
  'directory.pageBack',
  `SELECT room_nid, joined_members, entry FROM room_directory
   WHERE ($1::int IS NULL OR joined_members >= $1 AND (joined_members > $1 OR room_nid < $2)) AND ${WANTED}
   ORDER BY joined_members, room_nid DESC LIMIT $3`,
)
const count = sql<{ rooms: number }>('directory.count', 'SELECT count(*) AS rooms FROM room_directory')
const isPublished = sql<{ room_nid: number }>('directory.isPublished', 'SELECT room_nid FROM room_directory WHERE room_nid = $1')
const publishedOf = sql<{ room_nid: number }>(
  'directory.publishedOf',
  'SELECT room_nid FROM room_directory WHERE room_nid = ANY($1::bigint[])',
)
const stale = sql<{ room_nid: number }>(
  'directory.stale',
  `SELECT d.room_nid FROM room_directory d
   WHERE d.stream_id = 0 OR EXISTS (
     SELECT FROM current_state_delta_stream s WHERE s.room_nid = d.room_nid AND s.stream_id > d.stream_id AND s.type = ANY($1::text[]))
   LIMIT $2`,
)
const oldest = sql<{ room_nid: number }>('directory.oldest', 'SELECT room_nid FROM room_directory ORDER BY refreshed_ts LIMIT $1')
// The position is read with the counts, before the state: a later change makes the entry stale again, and never newer than it says.
const facts = sql<{ room_nid: number; room_id: string; room_version: string; joined_members: number; stream_id: number }>(
  'directory.facts',
  `SELECT r.room_nid, r.room_id, r.room_version,
     (SELECT count(*) FROM room_memberships m WHERE m.room_nid = r.room_nid AND m.membership = 'join') AS joined_members,
     (SELECT coalesce(max(s.stream_id), 1) FROM current_state_delta_stream s WHERE s.room_nid = r.room_nid) AS stream_id
   FROM rooms r WHERE r.room_nid = ANY($1::bigint[])`,
)
const state = sql<{ room_nid: number; type: string; json: string; redacted_by: number | null }>(
  'directory.state',
  `SELECT c.room_nid, k.type, e.json, e.redacted_by FROM state_keys k
   JOIN current_state_events c ON c.room_nid = ANY($1::bigint[]) AND c.state_key_nid = k.state_key_nid
   JOIN events e ON e.event_nid = c.event_nid
   WHERE k.state_key = '' AND k.type = ANY($2::text[])`,
)
const publish = sql('directory.publish', 'INSERT INTO room_directory (room_nid) VALUES ($1) ON CONFLICT (room_nid) DO NOTHING')
const unpublish = sql('directory.unpublish', 'DELETE FROM room_directory WHERE room_nid = $1')
const update = sql(
  'directory.update',
  `UPDATE room_directory d SET joined_members = v.joined_members, stream_id = v.stream_id, refreshed_ts = $7, room_type = v.room_type,
     search = v.search, entry = v.entry
   FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[])
     AS v(room_nid, joined_members, stream_id, room_type, search, entry)
   WHERE d.room_nid = v.room_nid`,
)

/** Reads the room directory, and what its entries are made of. */
export class RoomDirectoryReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** Rooms from a place on, in the order of the direction: the largest first, or backwards. */
  async page(query: DirectoryQuery): Promise<Array<DirectoryPlace & { readonly entry: string }>> {
    const types = query.roomTypes?.filter((type) => type !== null).map(toPgText) ?? null
    const values = [
      query.from?.joinedMembers ?? null,
      query.from?.roomNid ?? null,
      query.limit,
      query.search === undefined ? null : `%${toPgText(query.search).replace(/[\\%_]/g, '\\$&')}%`,
      types,
      query.roomTypes?.includes(null) ?? false,
    ]
    const rows = await this.#db.query(query.backwards ? pageBack : pageForward, values)
    return rows.map((row) => ({ roomNid: row.room_nid, joinedMembers: row.joined_members, entry: row.entry }))
  }

  /** How many rooms are published. */
  async count(): Promise<number> {
    return (await this.#db.query(count))[0]?.rooms ?? 0
  }

  async isPublished(roomNid: number): Promise<boolean> {
    return (await this.#db.query(isPublished, [roomNid])).length > 0
  }

  /** Those of the rooms that are published. */
  async publishedOf(roomNids: readonly number[]): Promise<number[]> {
    return (await this.#db.query(publishedOf, [roomNids])).map((row) => row.room_nid)
  }

  /** Rooms whose state changed at one of these types after their entry was made. */
  async stale(types: readonly string[], limit: number): Promise<number[]> {
    return (await this.#db.query(stale, [types, limit])).map((row) => row.room_nid)
  }

  /** The rooms whose entries were made the longest ago. */
  async oldest(limit: number): Promise<number[]> {
    return (await this.#db.query(oldest, [limit])).map((row) => row.room_nid)
  }

  async facts(roomNids: readonly number[]): Promise<DirectoryFacts[]> {
    return (await this.#db.query(facts, [roomNids])).map((row) => ({
      roomNid: row.room_nid,
      roomId: row.room_id,
      roomVersion: row.room_version,
      joinedMembers: row.joined_members,
      streamId: row.stream_id,
    }))
  }

  /** The state events at these types and the empty state key. */
  async state(roomNids: readonly number[], types: readonly string[]) {
    const rows = await this.#db.query(state, [roomNids, types])
    return rows.map((row) => ({ roomNid: row.room_nid, type: fromPgText(row.type), json: row.json, redacted: row.redacted_by !== null }))
  }
}

/** Statements that write the room directory; they only ever run inside a transaction. */
export const roomDirectoryWriter = {
  /** Enters a room; it is listed once {@link roomDirectoryWriter.update} has made its entry. */
  publish: (roomNid: number): BoundSql => ({ sql: publish, values: [roomNid] }),
  unpublish: (roomNid: number): BoundSql => ({ sql: unpublish, values: [roomNid] }),
  /** Changes the entries of rooms that are still published. @param now milliseconds since the epoch */
  update: (rows: readonly DirectoryRow[], now: number): BoundSql => ({
    sql: update,
    values: [
      rows.map((row) => row.roomNid),
      rows.map((row) => row.joinedMembers),
      rows.map((row) => row.streamId),
      rows.map((row) => (row.roomType === undefined ? null : toPgText(row.roomType))),
      rows.map((row) => toPgText(row.search)),
      rows.map((row) => row.entry),
      now,
    ],
  }),
}
