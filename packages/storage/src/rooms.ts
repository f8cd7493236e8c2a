import { LRUCache } from 'lru-cache'
import type { BoundSql, Queryable } from './sql.ts'
import { sql } from './sql.ts'

/** A room as the table has it. */
export interface RoomRow {
  readonly roomNid: number
  readonly roomId: string
  readonly roomVersion: string
  readonly creator: string
}

type Columns = { room_nid: number; room_id: string; room_version: string; creator: string }

const COLUMNS = 'room_nid, room_id, room_version, creator'
const byId = sql<Columns>('rooms.byId', `SELECT ${COLUMNS} FROM rooms WHERE room_id = $1`)
const byNids = sql<Columns>('rooms.byNids', `SELECT ${COLUMNS} FROM rooms WHERE room_nid = ANY($1::bigint[])`)
const insert = sql(
  'rooms.insert',
  `INSERT INTO rooms (room_nid, room_id, room_version, creator)
   SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[])`,
)
const moveAliases = sql('rooms.moveAliases', 'UPDATE room_aliases SET room_nid = $2 WHERE room_nid = $1')
const aliasTarget = sql<Columns & { room_alias: string; alias_creator: string }>(
  'rooms.byAlias',
  `SELECT a.room_alias, a.creator AS alias_creator, r.room_nid, r.room_id, r.room_version, r.creator
   FROM room_aliases a JOIN rooms r USING (room_nid) WHERE a.room_alias = $1`,
)
const aliases = sql<{ room_alias: string; creator: string }>(
  'rooms.aliases',
  'SELECT room_alias, creator FROM room_aliases WHERE room_nid = $1 ORDER BY room_alias LIMIT $2',
)
const insertAlias = sql<{ room_alias: string }>(
  'rooms.insertAlias',
  `INSERT INTO room_aliases (room_alias, room_nid, creator)
   SELECT $1, $2, $3 WHERE (SELECT count(*) FROM room_aliases WHERE room_nid = $2) < $4
   ON CONFLICT (room_alias) DO NOTHING RETURNING room_alias`,
)
const aliasesBy = sql<{ aliases: number }>('rooms.aliasesBy', 'SELECT count(*) AS aliases FROM room_aliases WHERE creator = $1')
const claimAlias = sql('rooms.claimAlias', 'INSERT INTO room_aliases (room_alias, room_nid, creator) VALUES ($1, $2, $3)')
const deleteAlias = sql<{ room_alias: string }>('rooms.deleteAlias', 'DELETE FROM room_aliases WHERE room_alias = $1 RETURNING room_alias')

/** Reads rooms and their aliases. Room ids, versions and creators never change, so what was found may be kept. */
export class RoomsReader {
  readonly #db: Queryable
  readonly #byId: LRUCache<string, RoomRow>

  /** @param keep how many rooms to keep in memory (about 300 bytes each) */
  constructor(db: Queryable, keep = 20_000) {
    this.#db = db
    this.#byId = new LRUCache({ maxSize: keep, sizeCalculation: () => 1 })
  }

  /** The room, or `undefined`; memory only ever says that a room exists. */
  async byRoomId(roomId: string): Promise<RoomRow | undefined> {
    return this.known(roomId) ?? this.#keep(firstRow(await this.#db.query(byId, [roomId])))
  }

  /** The room if this process has met it. */
  known(roomId: string): RoomRow | undefined {
    return this.#byId.get(roomId)
  }

  async byNids(roomNids: readonly number[]): Promise<RoomRow[]> {
    if (roomNids.length === 0) return []
    return (await this.#db.query(byNids, [roomNids])).map(toRow)
  }

  /** The room an alias points to, with the alias's creator. */
  async byAlias(alias: string): Promise<{ room: RoomRow; aliasCreator: string } | undefined> {
    const row = (await this.#db.query(aliasTarget, [alias]))[0]
    return row && { room: toRow(row), aliasCreator: row.alias_creator }
  }

  /** The room's local aliases with their creators, at most `limit`. */
  async aliases(roomNid: number, limit = 1000): Promise<Array<{ alias: string; creator: string }>> {
    return (await this.#db.query(aliases, [roomNid, limit])).map((row) => ({ alias: row.room_alias, creator: row.creator }))
  }

  /** How many aliases a user has made. */
  async aliasesBy(userId: string): Promise<number> {
    return (await this.#db.query(aliasesBy, [userId]))[0]?.aliases ?? 0
  }

  #keep(row: RoomRow | undefined): RoomRow | undefined {
    if (row === undefined) return undefined
    this.#byId.set(row.roomId, row)
    return row
  }
}

/** Statements that write rooms and aliases; they only ever run inside a transaction. */
export const roomsWriter = {
  insert(rooms: readonly RoomRow[]): BoundSql {
    return {
      sql: insert,
      values: [
        rooms.map((room) => room.roomNid),
        rooms.map((room) => room.roomId),
        rooms.map((room) => room.roomVersion),
        rooms.map((room) => room.creator),
      ],
    }
  },
  /** Answers no row when the alias is taken (never an upsert: R27) or the room has `max` aliases already. */
  insertAlias: (alias: string, roomNid: number, creator: string, max: number): BoundSql<{ room_alias: string }> => ({
    sql: insertAlias,
    values: [alias, roomNid, creator, max],
  }),
  /** Fails with a unique violation of `room_aliases_pkey` when the alias is taken, and its transaction with it. */
  claimAlias: (alias: string, roomNid: number, creator: string): BoundSql => ({ sql: claimAlias, values: [alias, roomNid, creator] }),
  /** All of a room's aliases point to another from now on. */
  moveAliases: (fromNid: number, toNid: number): BoundSql => ({ sql: moveAliases, values: [fromNid, toNid] }),
  deleteAlias: (alias: string): BoundSql<{ room_alias: string }> => ({ sql: deleteAlias, values: [alias] }),
}

function toRow(row: Columns): RoomRow {
  return { roomNid: row.room_nid, roomId: row.room_id, roomVersion: row.room_version, creator: row.creator }
}

function firstRow(rows: Columns[]): RoomRow | undefined {
  const row = rows[0]
  return row && toRow(row)
}
