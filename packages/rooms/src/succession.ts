import { ownObject, ownString } from '@weft/matrix'
import type { MembershipsReader, RoomsReader } from '@weft/storage'
import type { EventWriter } from './event-writer.ts'
import type { RoomHead } from './room-head.ts'

interface KnownRoom {
  readonly roomNid: number
  readonly roomId: string
}

/** What a user has set for a room (packages/accounts). */
export interface RoomSettings {
  /** Gives the new room what the user has set for the old one, where the user has not set it for the new one. */
  carry(userId: string, from: KnownRoom, to: KnownRoom): Promise<void>
}

export interface SuccessionLog {
  warn(fields: object, message: string): void
}

/**
 * Takes people's settings along into a room that replaces another.
 * Spec: client-server API, "Room Upgrades": when a user joins the new room, the server should transfer personalised settings.
 */
export class Succession {
  readonly #writer: EventWriter
  readonly #rooms: RoomsReader
  readonly #memberships: MembershipsReader
  readonly #settings: RoomSettings
  readonly #log: SuccessionLog

  constructor(options: {
    writer: EventWriter
    rooms: RoomsReader
    memberships: MembershipsReader
    settings: RoomSettings
    log: SuccessionLog
  }) {
    this.#writer = options.writer
    this.#rooms = options.rooms
    this.#memberships = options.memberships
    this.#settings = options.settings
    this.#log = options.log
  }

  /**
   * Carries a user's settings over, if the old room says itself that the new one replaces it (R27) and the user is or was in it.
   * A failure is logged: the join that it follows stands.
   */
  async carry(userId: string, oldRoomId: string, newRoomId: string): Promise<void> {
    try {
      const [from, to] = await Promise.all([this.#rooms.byRoomId(oldRoomId), this.#rooms.byRoomId(newRoomId)])
      if (from === undefined || to === undefined) return
      let replaced = false
      await this.#writer.inspect(oldRoomId, (head) => {
        replaced = ownString(head.content('m.room.tombstone') ?? {}, 'replacement_room') === newRoomId
      })
      if (!replaced || (await this.#memberships.membership(from.roomNid, userId)) === undefined) return
      await this.#settings.carry(userId, from, to)
    } catch (err) {
      this.#log.warn({ err, userId, oldRoomId, newRoomId }, 'the settings for an upgraded room were not carried over')
    }
  }
}

/** The room that a room replaces, as its create event says; anybody may say so of any room (R27). */
export function predecessorOf(head: RoomHead): string | undefined {
  const predecessor = ownObject(head.content('m.room.create') ?? {}, 'predecessor')
  return predecessor && ownString(predecessor, 'room_id')
}
