import { isJsonObject, ownString, roomCreators, roomVersions } from '@weft/matrix'
import {
  contentOf,
  type Database,
  type ExtremityRow,
  type RoomFigures,
  RoomInspectionReader,
  RoomsReader,
  StateReader,
  sql,
} from '@weft/storage'

/** What an operator may want to know of a room. */
export interface RoomInspection extends RoomFigures {
  readonly roomId: string
  readonly roomVersion: string
  readonly creators: readonly string[]
  readonly name: string | undefined
  readonly canonicalAlias: string | undefined
  readonly roomType: string | undefined
  readonly joinRule: string | undefined
  readonly encrypted: boolean
  /** The room that takes its place. */
  readonly replacement: string | undefined
  readonly predecessor: string | undefined
  readonly aliasNames: readonly string[]
  readonly forwardExtremities: readonly ExtremityRow[]
  readonly backwardExtremities: readonly string[]
}

// All figures are of one moment, and nothing is locked.
const oneMoment = sql('roomInspection.oneMoment', 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY')

const SHOWN = [
  'm.room.create',
  'm.room.name',
  'm.room.canonical_alias',
  'm.room.join_rules',
  'm.room.encryption',
  'm.room.tombstone',
] as const

/**
 * Looks at a room in the tables, beside a running server or without one. Reads each of its events: a second or two for 200,000.
 * @param name a room id, or an alias of this server
 * @returns undefined where there is no such room
 */
export async function inspectRoom(db: Database, name: string): Promise<RoomInspection | undefined> {
  return db.transaction(async (tx) => {
    await tx.execute(oneMoment)
    const rooms = new RoomsReader(tx)
    const room = name.startsWith('#') ? (await rooms.byAlias(name))?.room : await rooms.byRoomId(name)
    if (room === undefined) return undefined
    const { roomNid, roomId, roomVersion } = room
    const reader = new RoomInspectionReader(tx)
    const version = roomVersions.get(roomVersion)
    const entries = await new StateReader(tx).currentAt(
      roomNid,
      SHOWN.map((type) => [type, ''] as const),
    )
    const state = new Map(
      entries.map((entry) => [
        entry.type,
        { sender: entry.sender, content: version === undefined ? {} : contentOf(entry, version, entry.redactedBy !== undefined) },
      ]),
    )
    const text = (type: (typeof SHOWN)[number], key: string) => {
      const content = state.get(type)?.content
      return content && ownString(content, key)
    }
    const create = state.get('m.room.create')
    const predecessor = create?.content.predecessor
    return {
      roomId,
      roomVersion,
      creators: create === undefined || version === undefined ? [room.creator] : roomCreators(version, create),
      name: text('m.room.name', 'name'),
      canonicalAlias: text('m.room.canonical_alias', 'alias'),
      roomType: text('m.room.create', 'type'),
      joinRule: text('m.room.join_rules', 'join_rule'),
      encrypted: state.has('m.room.encryption'),
      replacement: text('m.room.tombstone', 'replacement_room'),
      predecessor: isJsonObject(predecessor) ? ownString(predecessor, 'room_id') : undefined,
      aliasNames: (await rooms.aliases(roomNid)).map(({ alias }) => alias),
      ...(await reader.figures(roomNid)),
      forwardExtremities: await reader.forwardExtremities(roomNid),
      backwardExtremities: await reader.backwardExtremities(roomNid),
    }
  })
}
