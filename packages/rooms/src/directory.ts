import { isRoomId, MatrixError, parseRoomAlias } from '@weft/matrix'
import type { RoomsReader } from '@weft/storage'

/** Finds rooms by alias. Spec: client-server API, "Room aliases". */
export class RoomDirectory {
  readonly #rooms: RoomsReader
  readonly #serverName: string

  constructor(rooms: RoomsReader, serverName: string) {
    this.#rooms = rooms
    this.#serverName = serverName
  }

  /** The room id of a room id or alias. @throws MatrixError M_INVALID_PARAM, M_NOT_FOUND */
  async resolve(roomIdOrAlias: string): Promise<string> {
    if (isRoomId(roomIdOrAlias)) return roomIdOrAlias
    return (await this.lookup(roomIdOrAlias)).room_id
  }

  /** What an alias points to, and which servers may help to join. @throws MatrixError M_INVALID_PARAM, M_NOT_FOUND */
  async lookup(alias: string): Promise<{ room_id: string; servers: string[] }> {
    if (parseRoomAlias(alias) === undefined) throw new MatrixError('M_INVALID_PARAM', `${JSON.stringify(alias)} is not a room alias`)
    const target = await this.#rooms.byAlias(alias)
    if (target === undefined) throw new MatrixError('M_NOT_FOUND', `There is no alias ${alias}`)
    return { room_id: target.room.roomId, servers: [this.#serverName] }
  }
}
