import { MatrixError } from '@weft/matrix'
import type { DirectoryPlace, RoomDirectoryReader, RoomsReader } from '@weft/storage'

/** Which part of the directory is asked for. */
export interface PublishedRoomsQuery {
  readonly limit: number
  readonly since?: string | undefined
  readonly search?: string | undefined
  readonly roomTypes?: ReadonlyArray<string | null> | undefined
}

/** A page of the room directory. */
export interface PublishedRoomsPage {
  /** Entries as JSON texts. */
  readonly chunk: string[]
  readonly nextBatch: string | undefined
  readonly prevBatch: string | undefined
  readonly total: number
}

const TOKEN = /^([du])(\d{1,9})\.(\d{1,16})$/

/** Reads the room directory. Spec: client-server API, "Published room directory". */
export class PublishedRooms {
  readonly #directory: RoomDirectoryReader
  readonly #rooms: RoomsReader

  constructor(options: { directory: RoomDirectoryReader; rooms: RoomsReader }) {
    this.#directory = options.directory
    this.#rooms = options.rooms
  }

  /** Whether a room is in the directory. @throws MatrixError M_NOT_FOUND */
  async visibility(roomId: string): Promise<'public' | 'private'> {
    const room = await this.#rooms.byRoomId(roomId)
    if (room === undefined) throw new MatrixError('M_NOT_FOUND', 'There is no such room')
    return (await this.#directory.isPublished(room.roomNid)) ? 'public' : 'private'
  }

  /** Published rooms, the largest first. @throws MatrixError M_INVALID_PARAM for a token that is none */
  async list(query: PublishedRoomsQuery): Promise<PublishedRoomsPage> {
    const { limit } = query
    const { from, backwards } = query.since === undefined ? { from: undefined, backwards: false } : placeOf(query.since)
    const search = query.search?.trim() === '' ? undefined : query.search?.trim().toLowerCase()
    const [found, total] = await Promise.all([
      this.#directory.page({ limit: limit + 1, from, backwards, search, roomTypes: query.roomTypes }),
      this.#directory.count(),
    ])
    const rows = found.slice(0, limit)
    if (backwards) rows.reverse()
    const more = found.length > limit
    const [first, last] = [rows[0], rows.at(-1)]
    return {
      chunk: rows.map((row) => row.entry),
      nextBatch: last !== undefined && (backwards || more) ? token('d', last) : undefined,
      prevBatch: first !== undefined && (backwards ? more : from !== undefined) ? token('u', first) : undefined,
      total,
    }
  }
}

/** `d` goes down to smaller rooms, `u` up; the place is behind the room it names. */
function token(direction: 'd' | 'u', { joinedMembers, roomNid }: DirectoryPlace): string {
  return `${direction}${joinedMembers}.${roomNid}`
}

function placeOf(since: string): { from: DirectoryPlace; backwards: boolean } {
  const match = TOKEN.exec(since)
  const [joinedMembers, roomNid] = [Number(match?.[2]), Number(match?.[3])]
  if (match === null || joinedMembers > 0x7fffffff || !Number.isSafeInteger(roomNid)) {
    throw new MatrixError('M_INVALID_PARAM', 'since is not a token of this server')
  }
  return { from: { joinedMembers, roomNid }, backwards: match[1] === 'u' }
}
