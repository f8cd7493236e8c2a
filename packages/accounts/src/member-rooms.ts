import { isRoomId, MatrixError } from '@weft/matrix'
import type { KnownRoom, MembershipLookup, RoomLookup } from './ports.ts'

/** Finds the room of a request and what the requester is in it. */
export class MemberRooms {
  readonly #rooms: RoomLookup
  readonly #memberships: MembershipLookup

  constructor(rooms: RoomLookup, memberships: MembershipLookup) {
    this.#rooms = rooms
    this.#memberships = memberships
  }

  /** The room, for a joined user. @throws MatrixError M_FORBIDDEN, whether or not there is such a room */
  async requireJoined(roomId: string, userId: string): Promise<KnownRoom> {
    const found = await this.#find(roomId, userId)
    if (found?.membership !== 'join') throw new MatrixError('M_FORBIDDEN', 'You are not in this room')
    return found.room
  }

  /**
   * The room, for a user who is or was in it or asked to be: room account data outlives the membership.
   * @throws MatrixError M_INVALID_PARAM for what is no room id; M_NOT_FOUND, whether or not there is such a room
   */
  async requireKnown(roomId: string, userId: string): Promise<KnownRoom> {
    if (!isRoomId(roomId)) throw new MatrixError('M_INVALID_PARAM', 'Not a valid room id')
    const found = await this.#find(roomId, userId)
    if (found === undefined) throw new MatrixError('M_NOT_FOUND', 'No such room')
    return found.room
  }

  async #find(roomId: string, userId: string): Promise<{ room: KnownRoom; membership: string } | undefined> {
    const room = isRoomId(roomId) ? await this.#rooms.byRoomId(roomId) : undefined
    if (room === undefined) return undefined
    const member = await this.#memberships.membership(room.roomNid, userId)
    return member === undefined ? undefined : { room, membership: member.membership }
  }
}
