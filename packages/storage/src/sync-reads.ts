import { LongEvents, SHORT_BYTES, saidBy } from './long-events.ts'
import { type Queryable, sql } from './sql.ts'
import { SyncStates } from './sync-states.ts'
import { SyncTimelines } from './sync-timelines.ts'

/** A user's membership of a room, with what /sync needs to know of the room. */
export interface UserRoomRow {
  readonly roomNid: number
  readonly roomId: string
  readonly roomVersion: string
  readonly membership: string
  readonly eventNid: number
  /** Position of the membership event. */
  readonly position: number
}

/** A change of a user's own membership, as the current-state deltas tell it. */
export interface MembershipChangeRow {
  readonly roomNid: number
  readonly roomId: string
  readonly roomVersion: string
  readonly position: number
  readonly eventNid: number | undefined
  /** What the member event says; absent where the key left the state. */
  readonly membership: string | undefined
  /** What the event before it said; absent where the key was absent. */
  readonly before: string | undefined
}

/** A receipt as /sync shows it. `threadId` is undefined for an unthreaded one; `ts` is ms since 1970. */
export interface SyncReceiptRow {
  readonly roomNid: number
  readonly position: number
  readonly receiptType: string
  readonly userId: string
  readonly threadId: string | undefined
  readonly eventId: string
  readonly ts: number
}

/** Account data as JSON text. `roomNid` is undefined for the account's own; `content`, where it was deleted. */
export interface SyncAccountDataRow {
  readonly roomNid: number | undefined
  readonly position: number
  readonly type: string
  readonly content: string | undefined
}

/** Counts and the first members of a room; `heroes` may contain the reader, who is never shown to himself. */
export interface RoomSummaryRow {
  readonly roomNid: number
  readonly joined: number
  readonly invited: number
  readonly heroes: readonly string[]
}

/** A to-device message as JSON text, as /sync shows it. */
export interface InboxRow {
  readonly position: number
  readonly messageJson: string
}

const userRooms = sql<{
  room_nid: number
  room_id: string
  room_version: string
  membership: string
  event_nid: number
  event_stream_ordering: number
}>(
  'sync.userRooms',
  `SELECT m.room_nid, r.room_id, r.room_version, m.membership, m.event_nid, m.event_stream_ordering
   FROM room_memberships m JOIN rooms r USING (room_nid)
   WHERE m.user_id = $1 AND (m.membership IN ('join', 'invite', 'knock') OR m.event_stream_ordering > $2)`,
)
type ChangeColumns = {
  room_nid: number
  room_id: string
  room_version: string
  stream_id: number
  event_nid: number | null
  prev_event_nid: number | null
  /** Absent where they are long. */
  json: string | null
  prev_json: string | null
}
const shortJson = (event: string) => `CASE WHEN octet_length(${event}.json) <= ${SHORT_BYTES} THEN ${event}.json END`
const leftRooms = sql<ChangeColumns>(
  'sync.leftRooms',
  `SELECT m.room_nid, r.room_id, r.room_version, d.stream_id, d.event_nid, d.prev_event_nid,
     ${shortJson('e')} AS json, ${shortJson('p')} AS prev_json
   FROM room_memberships m JOIN rooms r USING (room_nid)
   JOIN current_state_delta_stream d ON d.room_nid = m.room_nid AND d.stream_id <= $2 AND d.type = 'm.room.member' AND d.state_key = $1
   LEFT JOIN events e ON e.event_nid = d.event_nid LEFT JOIN events p ON p.event_nid = d.prev_event_nid
   WHERE m.user_id = $1 AND m.membership IN ('leave', 'ban') AND NOT m.forgotten
   ORDER BY d.stream_id`,
)
const membershipChanges = sql<ChangeColumns>(
  'sync.membershipChanges',
  `SELECT m.room_nid, r.room_id, r.room_version, d.stream_id, d.event_nid, d.prev_event_nid,
     ${shortJson('e')} AS json, ${shortJson('p')} AS prev_json
   FROM room_memberships m JOIN rooms r USING (room_nid)
   JOIN current_state_delta_stream d ON d.room_nid = m.room_nid AND d.stream_id > $2 AND d.stream_id <= $3
     AND d.type = 'm.room.member' AND d.state_key = $1
   LEFT JOIN events e ON e.event_nid = d.event_nid LEFT JOIN events p ON p.event_nid = d.prev_event_nid
   WHERE m.user_id = $1 AND (m.membership IN ('join', 'invite', 'knock') OR m.event_stream_ordering > $2)
   ORDER BY d.stream_id`,
)

const counts = sql<{ room_nid: number; membership: string; members: number }>(
  'sync.memberCounts',
  `SELECT room_nid, membership, count(*) AS members FROM room_memberships
   WHERE room_nid = ANY($1::bigint[]) AND membership IN ('join', 'invite') GROUP BY room_nid, membership`,
)
// Those who left or were banned stand behind all others, so that they come only where nobody else is there.
const heroes = sql<{ room_nid: number; user_id: string; membership: string }>(
  'sync.heroes',
  `SELECT w.room_nid, h.user_id, h.membership FROM unnest($1::bigint[]) AS w(room_nid) CROSS JOIN LATERAL (
     SELECT m.user_id, m.membership, m.event_stream_ordering FROM room_memberships m WHERE m.room_nid = w.room_nid AND m.membership <> 'knock'
     ORDER BY (m.membership NOT IN ('join', 'invite')), m.event_stream_ordering, m.user_id LIMIT 6) h`,
)
const receipts = sql<{
  room_nid: number
  stream_id: number
  receipt_type: string
  user_id: string
  thread_id: string
  event_id: string
  receipt_ts: number
}>(
  'sync.receipts',
  `SELECT x.room_nid, x.stream_id, x.receipt_type, x.user_id, x.thread_id, x.event_id, x.receipt_ts
   FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, since) CROSS JOIN LATERAL (
     SELECT r.room_nid, r.stream_id, r.receipt_type, r.user_id, r.thread_id, r.event_id, r.receipt_ts
     FROM receipts_linearized r WHERE r.room_nid = w.room_nid AND r.stream_id > w.since AND r.stream_id <= $3
       AND (r.receipt_type <> 'm.read.private' OR r.user_id = $4)
     ORDER BY r.stream_id DESC LIMIT $5) x
   ORDER BY x.stream_id`,
)
type AccountDataColumns = { room_nid: number; stream_id: number; account_data_type: string; content: string | null }
const accountData = sql<AccountDataColumns>(
  'sync.accountData',
  `SELECT room_nid, stream_id, account_data_type, content FROM account_data
   WHERE user_id = $1 AND stream_id > $2 AND stream_id <= $3 AND ($2 > 0 OR content IS NOT NULL) ORDER BY stream_id`,
)
const accountDataOfRooms = sql<AccountDataColumns>(
  'sync.accountDataOfRooms',
  `SELECT room_nid, stream_id, account_data_type, content FROM account_data
   WHERE user_id = $1 AND room_nid = ANY($2::bigint[]) AND stream_id <= $3 AND content IS NOT NULL ORDER BY stream_id`,
)
const globalAccountData = sql<{ account_data_type: string; content: string | null }>(
  'sync.globalAccountData',
  'SELECT account_data_type, content FROM account_data WHERE user_id = $1 AND room_nid = 0 AND account_data_type = ANY($2::text[])',
)
const inbox = sql<{ stream_id: number; message_json: string }>(
  'sync.inbox',
  `SELECT stream_id, message_json FROM device_inbox
   WHERE user_id = $1 AND device_id = $2 AND stream_id > $3 AND stream_id <= $4 ORDER BY stream_id LIMIT $5`,
)
const clearInbox = sql('sync.clearInbox', 'DELETE FROM device_inbox WHERE user_id = $1 AND device_id = $2 AND stream_id <= $3')
const sessionLives = sql<{ id: number }>('sync.sessionLives', 'SELECT id FROM access_tokens WHERE id = $1')

/**
 * What /sync reads, always for all rooms together: the number of statements never depends on the number of rooms. Every range
 * ends at a position that the caller knows to be complete, so that rows committed meanwhile are left to the next answer.
 */
export class SyncReader {
  readonly events: SyncTimelines
  readonly states: SyncStates
  readonly #db: Queryable
  readonly #long: LongEvents

  constructor(db: Queryable) {
    this.#db = db
    this.#long = new LongEvents(db)
    this.events = new SyncTimelines(db)
    this.states = new SyncStates(db)
  }

  /** The rooms of a user that /sync shows, and those that changed to leave or ban after `position`. */
  async userRooms(userId: string, position: number): Promise<UserRoomRow[]> {
    return (await this.#db.query(userRooms, [userId, position])).map(toUserRoom)
  }

  /** All changes up to `until` of a user's memberships of the rooms that are left and not forgotten, oldest first. */
  async leftRooms(userId: string, until: number): Promise<MembershipChangeRow[]> {
    return this.#changes(userId, await this.#db.query(leftRooms, [userId, until]))
  }

  /** How the user's own memberships changed in (`since`, `until`], oldest first. */
  async membershipChanges(userId: string, since: number, until: number): Promise<MembershipChangeRow[]> {
    return this.#changes(userId, await this.#db.query(membershipChanges, [userId, since, until]))
  }

  async #changes(userId: string, rows: readonly ChangeColumns[]): Promise<MembershipChangeRow[]> {
    const long = new Set<number>()
    for (const { event_nid: nid, json, prev_event_nid: before, prev_json: jsonBefore } of rows) {
      if (nid !== null && json === null) long.add(nid)
      if (before !== null && jsonBefore === null) long.add(before)
    }
    const read = long.size === 0 ? undefined : await this.#long.say(userId, [...long])
    const said = (nid: number | null, json: string | null) => {
      return json !== null ? saidBy('m.room.member', json) : nid === null ? undefined : read?.get(nid)
    }
    return rows.map((row) => ({
      roomNid: row.room_nid,
      roomId: row.room_id,
      roomVersion: row.room_version,
      position: row.stream_id,
      eventNid: row.event_nid ?? undefined,
      membership: said(row.event_nid, row.json),
      before: said(row.prev_event_nid, row.prev_json),
    }))
  }

  async summaries(roomNids: readonly number[]): Promise<RoomSummaryRow[]> {
    if (roomNids.length === 0) return []
    const [countRows, heroRows] = await Promise.all([this.#db.query(counts, [roomNids]), this.#db.query(heroes, [roomNids])])
    const found = new Map(roomNids.map((roomNid) => [roomNid, { roomNid, joined: 0, invited: 0, heroes: [] as string[], present: 0 }]))
    for (const row of countRows) {
      const summary = found.get(row.room_nid)
      if (summary !== undefined) summary[row.membership === 'join' ? 'joined' : 'invited'] = row.members
    }
    for (const row of heroRows) {
      const summary = found.get(row.room_nid)
      if (summary === undefined) continue
      const present = row.membership === 'join' || row.membership === 'invite'
      if (present) summary.present++
      // The reader is among the members: only where nobody but one is present do those who left stand in.
      if (present || summary.present <= 1) summary.heroes.push(row.user_id)
    }
    return [...found.values()]
  }

  /** Receipts in (`since`, `until`] that the user may see, at most `limit` of the newest a room, oldest first. */
  async receipts(
    rooms: ReadonlyArray<{ readonly roomNid: number; readonly since: number }>,
    until: number,
    userId: string,
    limit: number,
  ): Promise<SyncReceiptRow[]> {
    if (rooms.length === 0) return []
    const values = [rooms.map((room) => room.roomNid), rooms.map((room) => room.since), until, userId, limit]
    return (await this.#db.query(receipts, values)).map((row) => ({
      roomNid: row.room_nid,
      position: row.stream_id,
      receiptType: row.receipt_type,
      userId: row.user_id,
      threadId: row.thread_id === '' ? undefined : row.thread_id,
      eventId: row.event_id,
      ts: row.receipt_ts,
    }))
  }

  /** What changed in (`since`, `until`]; from the beginning without what was deleted. */
  async accountData(userId: string, since: number, until: number): Promise<SyncAccountDataRow[]> {
    return (await this.#db.query(accountData, [userId, since, until])).map(toAccountData)
  }

  async accountDataOfRooms(userId: string, roomNids: readonly number[], until: number): Promise<SyncAccountDataRow[]> {
    if (roomNids.length === 0) return []
    return (await this.#db.query(accountDataOfRooms, [userId, roomNids, until])).map(toAccountData)
  }

  /** One type of the account's own data, as JSON text. */
  async globalAccountData(userId: string, types: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.#db.query(globalAccountData, [userId, types])
    return new Map(rows.flatMap((row) => (row.content === null ? [] : [[row.account_data_type, row.content] as const])))
  }

  async inbox(userId: string, deviceId: string, since: number, until: number, limit: number): Promise<InboxRow[]> {
    const rows = await this.#db.query(inbox, [userId, deviceId, since, until, limit])
    return rows.map((row) => ({ position: row.stream_id, messageJson: row.message_json }))
  }

  /** Deletes what the device has shown to have received; a single statement that any process may repeat. */
  async clearInbox(userId: string, deviceId: string, upTo: number): Promise<void> {
    await this.#db.query(clearInbox, [userId, deviceId, upTo])
  }

  /** Whether the access token still exists. */
  async sessionLives(accessTokenId: number): Promise<boolean> {
    return (await this.#db.query(sessionLives, [accessTokenId])).length === 1
  }
}

function toUserRoom(row: {
  room_nid: number
  room_id: string
  room_version: string
  membership: string
  event_nid: number
  event_stream_ordering: number
}): UserRoomRow {
  return {
    roomNid: row.room_nid,
    roomId: row.room_id,
    roomVersion: row.room_version,
    membership: row.membership,
    eventNid: row.event_nid,
    position: row.event_stream_ordering,
  }
}

function toAccountData(row: AccountDataColumns): SyncAccountDataRow {
  return {
    roomNid: row.room_nid === 0 ? undefined : row.room_nid,
    position: row.stream_id,
    type: row.account_data_type,
    content: row.content ?? undefined,
  }
}
