import { MatrixError } from '@weft/matrix'
import { type Queryable, type RoomsReader, roomDirectoryWriter } from '@weft/storage'
import type { DirectoryKeeper } from './directory-keeper.ts'
import type { EventWriter } from './event-writer.ts'

/** Puts rooms into the room directory and takes them out. Spec: client-server API, "Published room directory". */
export class RoomPublication {
  readonly #writer: EventWriter
  readonly #rooms: RoomsReader
  readonly #keeper: DirectoryKeeper
  readonly #db: Queryable

  constructor(options: { writer: EventWriter; rooms: RoomsReader; keeper: DirectoryKeeper; db: Queryable }) {
    this.#writer = options.writer
    this.#rooms = options.rooms
    this.#keeper = options.keeper
    this.#db = options.db
  }

  /**
   * Publishes a room or hides it: members may who may set its canonical alias, and server administrators.
   * @throws MatrixError M_NOT_FOUND, M_FORBIDDEN
   */
  async set(user: { readonly userId: string; readonly isAdmin: boolean }, roomId: string, visibility: 'public' | 'private'): Promise<void> {
    const room = await this.#rooms.byRoomId(roomId)
    if (room === undefined) throw new MatrixError('M_NOT_FOUND', 'There is no such room')
    await this.#writer.inspect(roomId, (head) => {
      const levels = head.powerLevels
      const joined = head.membership(user.userId) === 'join'
      const may = joined && levels !== undefined && levels.userLevel(user.userId) >= levels.eventLevel('m.room.canonical_alias', true)
      if (!may && !user.isAdmin) throw new MatrixError('M_FORBIDDEN', 'You may not say whether this room is in the room directory')
    })
    const { sql, values } = roomDirectoryWriter[visibility === 'public' ? 'publish' : 'unpublish'](room.roomNid)
    await this.#db.execute(sql, values)
    if (visibility === 'public') await this.#keeper.refresh([room.roomNid])
  }
}
