import type { BoundSql, Queryable } from './sql.ts'
import { sql } from './sql.ts'

/** The current membership of one user in one room. */
export interface MembershipRow {
  readonly userId: string
  readonly roomNid: number
  readonly membership: string
  readonly eventNid: number
  /** The position of the membership event in the room's timeline. */
  readonly eventStreamOrdering: number
  readonly forgotten: boolean
}

type Columns = {
  user_id: string
  room_nid: number
  membership: string
  event_nid: number
  event_stream_ordering: number
  forgotten: boolean
}

const COLUMNS = 'user_id, room_nid, membership, event_nid, event_stream_ordering, forgotten'
const one = sql<Columns>('memberships.one', `SELECT ${COLUMNS} FROM room_memberships WHERE user_id = $1 AND room_nid = $2`)
const ofUser = sql<Columns>(
  'memberships.ofUser',
  `SELECT ${COLUMNS} FROM room_memberships WHERE user_id = $1 AND membership = ANY($2::text[])`,
)
const joinedRooms = sql<{ room_id: string }>(
  'memberships.joinedRooms',
  `SELECT r.room_id FROM room_memberships m JOIN rooms r USING (room_nid) WHERE m.user_id = $1 AND m.membership = 'join'`,
)
const joinedRoomNids = sql<{ room_nid: number }>(
  'memberships.joinedRoomNids',
  `SELECT room_nid FROM room_memberships WHERE user_id = $1 AND membership = 'join' AND room_nid > $2 ORDER BY room_nid LIMIT $3`,
)
// One value: as rows, those of a room of 20,000 members hold a process for 20 ms that has not read so many before.
const eventNids = sql<{ event_nids: number[] | null }>(
  'memberships.eventNids',
  `SELECT array_agg(event_nid ORDER BY event_nid) AS event_nids FROM room_memberships
   WHERE room_nid = $1 AND ($2::text IS NULL OR membership = $2)`,
)
const pendingOf = sql<{ user_id: string; pending: number }>(
  'memberships.pendingOf',
  `SELECT user_id, count(*) AS pending FROM room_memberships
   WHERE user_id = ANY($1::text[]) AND membership IN ('invite', 'knock') GROUP BY user_id`,
)
const countIn = sql<{ members: number }>(
  'memberships.countIn',
  `SELECT count(*) AS members FROM (SELECT FROM room_memberships WHERE room_nid = $1 AND membership = $2 LIMIT $3) some_members`,
)
const upsert = sql(
  'memberships.upsert',
  `INSERT INTO room_memberships (user_id, room_nid, membership, event_nid, event_stream_ordering)
   SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
   ON CONFLICT (user_id, room_nid) DO UPDATE SET membership = excluded.membership, event_nid = excluded.event_nid,
     event_stream_ordering = excluded.event_stream_ordering, forgotten = false`,
)
const forget = sql<{ room_nid: number }>(
  'memberships.forget',
  `UPDATE room_memberships SET forgotten = true
   WHERE user_id = $1 AND room_nid = $2 AND membership IN ('leave', 'ban') RETURNING room_nid`,
)

/** Reads who is in which room. */
export class MembershipsReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The user's current membership; undefined where there never was one. */
  async membership(roomNid: number, userId: string): Promise<MembershipRow | undefined> {
    const row = (await this.#db.query(one, [userId, roomNid]))[0]
    return row && toRow(row)
  }

  /** The user's rooms with one of these memberships. */
  async ofUser(userId: string, memberships: readonly string[]): Promise<MembershipRow[]> {
    return (await this.#db.query(ofUser, [userId, memberships])).map(toRow)
  }

  /** The current member events of a room, oldest first. */
  async eventNids(roomNid: number, membership?: string): Promise<number[]> {
    return (await this.#db.query(eventNids, [roomNid, membership ?? null]))[0]?.event_nids ?? []
  }

  /** The ids of all rooms that the user is joined to, in no order. */
  /** How many invites and knocks wait, by user. */
  async pendingOf(userIds: readonly string[]): Promise<Map<string, number>> {
    return new Map((await this.#db.query(pendingOf, [userIds])).map((row) => [row.user_id, row.pending]))
  }

  /** How many users have a membership in a room; does not count beyond `most`. */
  async countIn(roomNid: number, membership: string, most: number): Promise<number> {
    return (await this.#db.query(countIn, [roomNid, membership, most]))[0]?.members ?? 0
  }

  async joinedRoomIds(userId: string): Promise<string[]> {
    return (await this.#db.query(joinedRooms, [userId])).map((row) => row.room_id)
  }

  /** The rooms the user is joined to, in order of nid, after `afterRoomNid`: for jobs that go through them in batches. */
  async joinedRoomNids(userId: string, afterRoomNid: number, limit: number): Promise<number[]> {
    return (await this.#db.query(joinedRoomNids, [userId, afterRoomNid, limit])).map((row) => row.room_nid)
  }
}

/** Statements that write memberships; they only ever run inside a transaction. */
export const membershipsWriter = {
  /** One row per user and room: within one statement a pair must not come twice. */
  upsert: (rows: ReadonlyArray<Omit<MembershipRow, 'forgotten'>>): BoundSql => ({
    sql: upsert,
    values: [
      rows.map((r) => r.userId),
      rows.map((r) => r.roomNid),
      rows.map((r) => r.membership),
      rows.map((r) => r.eventNid),
      rows.map((r) => r.eventStreamOrdering),
    ],
  }),
  /** Answers a row only when the user had left. */
  forget: (userId: string, roomNid: number): BoundSql<{ room_nid: number }> => ({ sql: forget, values: [userId, roomNid] }),
}

function toRow(row: Columns): MembershipRow {
  return {
    userId: row.user_id,
    roomNid: row.room_nid,
    membership: row.membership,
    eventNid: row.event_nid,
    eventStreamOrdering: row.event_stream_ordering,
    forgotten: row.forgotten,
  }
}
