import { prunedJson, type RelationsReader } from '@weft/storage'
import type { RoomReads } from './room-reads.ts'
import { NEWEST, OLDEST, paginationToken } from './timeline-reads.ts'

/** A GET /relations, its parameters read. */
export interface RelationsQuery {
  readonly relationType?: string | undefined
  readonly type?: string | undefined
  readonly direction: 'b' | 'f'
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly limit: number
  readonly recurse: boolean
}

/** A page of events, as JSON texts. */
export interface RelationsPage {
  readonly chunk: string[]
  /** Absent at the end of what there is. */
  readonly nextBatch: string | undefined
  /** How many steps away the events may be, where indirect relations were asked for too. */
  readonly recursionDepth?: number | undefined
}

/** How far `recurse` goes: the events it returns are at most so many steps from the one asked for. Spec: at least 3. */
const RECURSION_DEPTH = 3
/** Events whose children `recurse` looks at. */
const MAX_PARENTS = 5000

/** Reads what relates to an event. Spec: client-server API, "Relationships API", "Querying threads in a room". */
export class RelationReads {
  readonly #reads: RoomReads
  readonly #relations: RelationsReader

  constructor(options: { reads: RoomReads; relations: RelationsReader }) {
    this.#reads = options.reads
    this.#relations = options.relations
  }

  /** The events that relate to one that the user may see. @throws MatrixError M_NOT_FOUND */
  async children(userId: string, roomId: string, eventId: string, query: RelationsQuery): Promise<RelationsPage> {
    const { access } = await this.#reads.visibleEvent(userId, roomId, eventId)
    const { roomNid } = access.room
    const { direction, limit, relationType, type } = query
    const back = direction === 'b'
    const newest = access.until ?? NEWEST
    const from = Math.min(query.from ?? (back ? newest : OLDEST), newest)
    const until = back ? (query.to ?? OLDEST) : Math.min(query.to ?? newest, newest)
    const parents = query.recurse ? await this.#relations.descendants(roomNid, eventId, RECURSION_DEPTH - 1, MAX_PARENTS) : [eventId]
    const range = { direction, from, until, limit, relationType, type }
    const rows = await this.#relations.children(roomNid, parents, range)
    const last = rows.at(-1)?.streamOrdering
    const seen = rows.filter((row) => access.view.sees(row))
    const more = last !== undefined && rows.length === limit
    return {
      chunk: await this.#reads.show(access, seen),
      nextBatch: more ? paginationToken(back ? last - 1 : last) : undefined,
      recursionDepth: query.recurse ? RECURSION_DEPTH : undefined,
    }
  }

  /** The roots of a room's threads, the one with the latest event first. @throws MatrixError M_FORBIDDEN */
  async threads(
    userId: string,
    roomId: string,
    query: { readonly participated: boolean; readonly from?: number | undefined; readonly limit: number },
  ): Promise<RelationsPage> {
    const access = await this.#reads.access(userId, roomId)
    const until = access.until ?? NEWEST
    const range = { from: Math.min(query.from ?? until, until), until, limit: query.limit }
    const ignored = await this.#reads.ignoredUsers(userId)
    const participant = query.participated ? userId : undefined
    const threads = await this.#relations.threadRoots(access.room.roomNid, range, [...ignored], participant)
    const roots = threads.map(({ root }) => root).filter((root) => access.view.sees(root))
    // Spec: the root of an ignored user is returned redacted.
    const shown = roots.map((root) => (ignored.has(root.sender) ? { ...root, json: prunedJson(root, access.version) } : root))
    const last = threads.at(-1)
    return {
      chunk: await this.#reads.show(access, shown),
      nextBatch: last !== undefined && threads.length === query.limit ? paginationToken(last.latest - 1) : undefined,
    }
  }
}
