import { type ClientEventRow, prunedJson, type RelationsReader } from '@weft/storage'
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
  /** The device that asks. */
  readonly deviceId?: string | undefined
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

interface Thread {
  readonly root: ClientEventRow
  readonly latest: number
}

interface ThreadsQuery {
  readonly roomNid: number
  readonly from: number
  readonly until: number
  readonly limit: number
  readonly ignored: readonly string[]
  readonly participant: string | undefined
}

/** Messages of threads that one page looks at, and that one statement reads: a page may come short, with a token to go on from. */
const MAX_REPLIES = 50_000
const REPLIES_AT_A_TIME = 1000

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
    const { access } = await this.#reads.visibleEvent(userId, roomId, eventId, query.deviceId)
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
    query: {
      readonly participated: boolean
      readonly from?: number | undefined
      readonly limit: number
      readonly deviceId?: string | undefined
    },
  ): Promise<RelationsPage> {
    const access = await this.#reads.access(userId, roomId, query.deviceId)
    const until = access.until ?? NEWEST
    const ignored = await this.#reads.ignoredUsers(userId)
    const { threads, next } = await this.#threads({
      roomNid: access.room.roomNid,
      from: Math.min(query.from ?? until, until),
      until,
      limit: query.limit,
      ignored: [...ignored],
      participant: query.participated ? userId : undefined,
    })
    const roots = threads.map(({ root }) => root).filter((root) => access.view.sees(root))
    // Spec: the root of an ignored user is returned redacted.
    const shown = roots.map((root) => (ignored.has(root.sender) ? { ...root, json: prunedJson(root, access.version) } : root))
    return { chunk: await this.#reads.show(access, shown), nextBatch: next === undefined ? undefined : paginationToken(next) }
  }

  /**
   * Threads by their latest event, which lies at or before `from`. Goes back through the messages of all threads: a thread is met
   * first at its latest message, or, where that one does not count, listed once the walk has come to the one that does.
   */
  async #threads(query: ThreadsQuery): Promise<{ threads: Thread[]; next: number | undefined }> {
    const { roomNid, from, until, limit, ignored, participant } = query
    const met = new Set<string>()
    const found: Thread[] = []
    let at = from
    for (let scanned = 0; scanned < MAX_REPLIES; scanned += REPLIES_AT_A_TIME) {
      const replies = await this.#relations.threadReplies(roomNid, at, REPLIES_AT_A_TIME)
      const roots = new Set(replies.map((reply) => reply.rootId).filter((rootId) => !met.has(rootId)))
      for (const rootId of roots) met.add(rootId)
      // One whose latest event is newer than `from` was on an earlier page.
      for (const thread of await this.#relations.threadRoots(roomNid, [...roots], until, ignored, participant)) {
        if (thread.latest <= from) found.push(thread)
      }
      found.sort((a, b) => b.latest - a.latest)
      const end = replies.length < REPLIES_AT_A_TIME
      at = end ? OLDEST : (replies.at(-1)?.position as number) - 1
      const settled = found.filter((thread) => thread.latest > at)
      if (settled.length >= limit) {
        const threads = settled.slice(0, limit)
        const more = !end || settled.length > limit
        return { threads, next: more ? (threads.at(-1) as Thread).latest - 1 : undefined }
      }
      if (end) return { threads: settled, next: undefined }
    }
    return { threads: found.filter((thread) => thread.latest > at), next: at }
  }
}
