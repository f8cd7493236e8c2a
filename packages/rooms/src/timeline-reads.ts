import { type EventFilter, MatrixError, type RoomEventFilter } from '@weft/matrix'
import { decodeSyncToken } from '@weft/replication'
import { type ClientEventRow, contentOf, type EventsReader, type StateReader } from '@weft/storage'
import type { RoomAccess, RoomReads } from './room-reads.ts'

/** A page of a room's timeline, as JSON texts. */
export interface TimelinePage {
  readonly chunk: string[]
  readonly start: string
  /** Absent at the end of what there is. */
  readonly end: string | undefined
  /** Member events of the chunk's senders, where members are loaded lazily. */
  readonly state: string[]
}

export interface MessagesQuery {
  readonly direction: 'b' | 'f'
  /** A position; absent for the newest end (`b`) or the oldest (`f`). */
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly limit: number
  readonly filter?: RoomEventFilter | undefined
}

/** The position of a room's oldest end: below every backfilled event. */
const OLDEST = Number.MIN_SAFE_INTEGER + 1
const NEWEST = Number.MAX_SAFE_INTEGER
/** Events looked at for one page at most: a filter that matches little answers a short page with an `end` to go on from. */
const MAX_SCANNED = 2000
const MIN_FETCH = 20

/** A pagination token. A position stands between events: `p12` is after the event at 12 and before the one at 13. */
export function paginationToken(position: number): string {
  return `p${position}`
}

/** The position of a pagination token or of a /sync token. @throws MatrixError M_INVALID_PARAM */
export function positionOfToken(token: string): number {
  const match = /^p(-?\d{1,16})$/.exec(token)
  const position = match === null ? decodeSyncToken(token)?.positions.events : Number(match[1])
  if (position === undefined || !Number.isSafeInteger(position)) throw new MatrixError('M_INVALID_PARAM', 'Not a token of this server')
  return position
}

/** Pages through timelines. Spec: client-server API, "Getting events for a room", messages. */
export class TimelineReads {
  readonly #reads: RoomReads
  readonly #events: EventsReader
  readonly #state: StateReader

  constructor(options: { reads: RoomReads; events: EventsReader; state: StateReader }) {
    this.#reads = options.reads
    this.#events = options.events
    this.#state = options.state
  }

  /** The position that a token of /messages or /sync stands for. @throws MatrixError M_INVALID_PARAM */
  position(token: string): number {
    return positionOfToken(token)
  }

  /** A page of what the user may see. @throws MatrixError M_FORBIDDEN */
  async messages(access: RoomAccess, query: MessagesQuery): Promise<TimelinePage> {
    const back = query.direction === 'b'
    const newest = access.until ?? NEWEST
    const from = Math.min(query.from ?? (back ? newest : OLDEST), newest)
    const until = back ? (query.to ?? OLDEST) : Math.min(query.to ?? newest, newest)
    const types = literalTypes(query.filter)
    const rows: ClientEventRow[] = []
    let at = from
    let scanned = 0
    let exhausted = false
    while (rows.length < query.limit && scanned < MAX_SCANNED) {
      const limit = Math.min(Math.max(query.limit - rows.length, MIN_FETCH), MAX_SCANNED - scanned)
      const page = await this.#events.page(access.room.roomNid, { direction: query.direction, from: at, until, limit, types })
      for (const row of page) {
        scanned++
        const position = row.streamOrdering as number
        at = back ? position - 1 : position
        if (access.view.sees(row) && passes(query.filter, row, access)) rows.push(row)
        if (rows.length === query.limit) break
      }
      if (page.length < limit && rows.length < query.limit) {
        exhausted = true
        break
      }
    }
    const chunk = await this.#reads.show(access, rows)
    const state = query.filter?.lazyLoadMembers ? await this.#senders(access, rows) : []
    return {
      chunk,
      start: paginationToken(from === NEWEST ? (rows[0]?.streamOrdering ?? at) : from),
      end: exhausted ? undefined : paginationToken(at),
      state,
    }
  }

  /** The member events of the senders. Spec: client-server API, "Lazy-loading room members". */
  async #senders(access: RoomAccess, rows: readonly ClientEventRow[]): Promise<string[]> {
    const senders = [...new Set(rows.map((row) => row.sender))]
    if (senders.length === 0) return []
    const entries = await this.#state.currentAt(
      access.room.roomNid,
      senders.map((sender) => ['m.room.member', sender] as const),
    )
    const members = await this.#events.byNids(entries.map((entry) => entry.eventNid))
    return this.#reads.show(access, [...members.values()])
  }
}

/** Types that SQL can filter by: a list without wildcards. */
function literalTypes(filter: EventFilter | undefined): readonly string[] | undefined {
  const types = filter?.types
  return types !== undefined && types.length <= 100 && !types.some((type) => type.includes('*')) ? types : undefined
}

function passes(filter: RoomEventFilter | undefined, row: ClientEventRow, access: RoomAccess): boolean {
  if (filter === undefined || filter.allowsAll) return true
  const { type, sender } = row
  return filter.matches({
    type,
    sender,
    roomId: access.room.roomId,
    content: () => contentOf(row, access.version, row.redactedBy !== undefined),
  })
}
