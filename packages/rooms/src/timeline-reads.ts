import { type EventFilter, MatrixError, type RoomEventFilter } from '@weft/matrix'
import { decodeSyncToken } from '@weft/replication'
import { type ClientEventRow, contentOf, type EventsReader, type TimelineTimes } from '@weft/storage'
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

/** An event with those around it, as JSON texts. */
export interface EventContext {
  /** For /messages backwards. */
  readonly start: string
  /** For /messages forwards. */
  readonly end: string
  /** Newest first. */
  readonly before: string[]
  readonly event: string
  readonly after: string[]
  /** The state at the last event. */
  readonly state: AsyncIterable<string>
}

/** A GET /messages, its parameters read. */
export interface MessagesQuery {
  readonly direction: 'b' | 'f'
  /** A position; absent for the newest end (`b`) or the oldest (`f`). */
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly limit: number
  readonly filter?: RoomEventFilter | undefined
}

/** The position of a room's oldest end: below every backfilled event. */
export const OLDEST = Number.MIN_SAFE_INTEGER + 1
/** A position behind every event. */
export const NEWEST = Number.MAX_SAFE_INTEGER
/** Events looked at for one page at most: a filter that matches little answers a short page with an `end` to go on from. */
const MAX_SCANNED = 2000
const MIN_FETCH = 20
/** Events read at once at most, each of up to 64 KiB. */
const MAX_FETCH = 100
/** Characters of event text in one page; beyond it the page ends early, with an `end` to go on from. */
const MAX_TEXT = 4 * 1024 * 1024
/** Events on either side of the place found by time that are looked at: times do not quite rise with positions. */
const TIME_WINDOW = 100

/** A pagination token. A position stands between events: `p12` is after the event at 12 and before the one at 13. */
export function paginationToken(position: number): string {
  return `p${position}`
}

/** The position of a pagination token or of a /sync token. @throws MatrixError M_INVALID_PARAM */
function positionOfToken(token: string): number {
  const match = /^p(-?\d{1,16})$/.exec(token)
  const position = match === null ? decodeSyncToken(token)?.positions.events : Number(match[1])
  if (position === undefined || !Number.isSafeInteger(position)) throw new MatrixError('M_INVALID_PARAM', 'Not a token of this server')
  return position
}

/** Pages through timelines. Spec: client-server API, "Getting events for a room", messages. */
export class TimelineReads {
  readonly #reads: RoomReads
  readonly #events: EventsReader
  readonly #times: TimelineTimes

  constructor(options: { reads: RoomReads; events: EventsReader; times: TimelineTimes }) {
    this.#reads = options.reads
    this.#events = options.events
    this.#times = options.times
  }

  /** The position that a token of /messages or /sync stands for. @throws MatrixError M_INVALID_PARAM */
  position(token: string): number {
    return positionOfToken(token)
  }

  /** A page of what the user may see. @throws MatrixError M_FORBIDDEN */
  async messages(access: RoomAccess, query: MessagesQuery): Promise<TimelinePage> {
    const back = query.direction === 'b'
    // A page that may come out empty is given a place to begin at, from where a client can go on to what is sent later.
    const mayBeEmpty = back && query.from === undefined && (query.limit === 0 || query.filter !== undefined)
    const newest = access.until ?? (mayBeEmpty ? await this.#newest(access) : NEWEST)
    const from = Math.min(query.from ?? (back ? newest : OLDEST), newest)
    const until = back ? (query.to ?? OLDEST) : Math.min(query.to ?? newest, newest)
    const { rows, at, exhausted } = await this.#scan(access, { ...query, from, until })
    const chunk = await this.#reads.show(access, rows)
    const state = query.filter?.lazyLoadMembers ? await this.#reads.membersOf(access, [...new Set(rows.map((row) => row.sender))]) : []
    return {
      chunk,
      start: paginationToken(from === NEWEST ? (rows[0]?.streamOrdering ?? at) : from),
      end: exhausted ? undefined : paginationToken(at),
      state,
    }
  }

  /**
   * The events around one that the user may see.
   * @param limit of all of them together, but for the event itself
   * @throws MatrixError M_NOT_FOUND
   */
  async context(
    userId: string,
    roomId: string,
    eventId: string,
    options: { readonly limit: number; readonly filter?: RoomEventFilter | undefined; readonly deviceId?: string | undefined },
  ): Promise<EventContext> {
    const { access, row } = await this.#reads.visibleEvent(userId, roomId, eventId, options.deviceId)
    const position = row.streamOrdering as number
    const { filter } = options
    const half = Math.floor(options.limit / 2)
    const [before, after] = await Promise.all([
      this.#scan(access, { direction: 'b', from: position - 1, until: OLDEST, limit: half, filter }),
      this.#scan(access, { direction: 'f', from: position, until: access.until ?? NEWEST, limit: options.limit - half, filter }),
    ])
    const texts = await this.#reads.show(access, [...before.rows, row, ...after.rows])
    const lazily = filter?.lazyLoadMembers ? new Set([...before.rows, row, ...after.rows].map((shown) => shown.sender)) : undefined
    return {
      start: paginationToken(before.at),
      end: paginationToken(after.at),
      before: texts.slice(0, before.rows.length),
      event: texts[before.rows.length] as string,
      after: texts.slice(before.rows.length + 1),
      state: this.#reads.stateAfter(access, after.rows.at(-1) ?? row, {
        members: lazily,
        wanted: (state) => passes(filter, state, access),
      }),
    }
  }

  /**
   * The event closest to a time in one direction, among those the user may see.
   * @param ts milliseconds since the epoch
   * @throws MatrixError M_FORBIDDEN; M_NOT_FOUND where there is none
   */
  async atTime(access: RoomAccess, ts: number, direction: 'b' | 'f'): Promise<{ eventId: string; originServerTs: number }> {
    const { roomNid } = access.room
    const back = direction === 'b'
    const until = access.until ?? NEWEST
    const place = Math.min((await this.#times.positionAt(roomNid, ts)) ?? 0, until)
    const [before, after] = await Promise.all([
      this.#events.page(roomNid, { direction: 'b', from: place - 1, until: OLDEST, limit: TIME_WINDOW }),
      this.#events.page(roomNid, { direction: 'f', from: place - 1, until, limit: TIME_WINDOW }),
    ])
    const near = [...before.reverse(), ...after]
    // Of events with the same time, the one that the direction meets first.
    let found = closest(back ? near.reverse() : near, ts, direction, access)
    const edge = near.at(-1)?.streamOrdering
    if (found === undefined && edge !== undefined) {
      const from = back ? edge - 1 : edge
      const { rows } = await this.#scan(access, { direction, from, until: back ? OLDEST : until, limit: 1 })
      found = closest(rows, ts, direction, access)
    }
    if (found === undefined) throw new MatrixError('M_NOT_FOUND', `There is no event ${back ? 'before' : 'after'} that time`)
    return { eventId: found.eventId, originServerTs: found.originServerTs }
  }

  async #newest({ room }: RoomAccess): Promise<number> {
    const [row] = await this.#events.page(room.roomNid, { direction: 'b', from: NEWEST, until: OLDEST, limit: 1 })
    return row?.streamOrdering ?? NEWEST
  }

  /** Events that the user may see and wants. `at` is where to go on; `exhausted` says that there is nothing. */
  async #scan(access: RoomAccess, query: MessagesQuery & { readonly from: number; readonly until: number }): Promise<Scan> {
    const { from, until } = query
    const back = query.direction === 'b'
    const types = literalTypes(query.filter)
    const rows: ClientEventRow[] = []
    let at = from
    let scanned = 0
    let text = 0
    let exhausted = false
    const isFull = () => rows.length >= query.limit || text >= MAX_TEXT
    while (!isFull() && scanned < MAX_SCANNED) {
      const limit = Math.min(Math.max(query.limit - rows.length, MIN_FETCH), MAX_FETCH, MAX_SCANNED - scanned)
      const page = await this.#events.page(access.room.roomNid, { direction: query.direction, from: at, until, limit, types })
      for (const row of page) {
        scanned++
        const position = row.streamOrdering as number
        at = back ? position - 1 : position
        if (!access.view.sees(row) || !passes(query.filter, row, access)) continue
        rows.push(row)
        text += row.json.length
        if (isFull()) break
      }
      if (page.length < limit && !isFull()) {
        exhausted = true
        break
      }
    }
    return { rows, at, exhausted }
  }
}

interface Scan {
  readonly rows: ClientEventRow[]
  readonly at: number
  readonly exhausted: boolean
}

/** The first of the events closest to a time, none of them on its other side. */
function closest(rows: readonly ClientEventRow[], ts: number, direction: 'b' | 'f', access: RoomAccess): ClientEventRow | undefined {
  let found: ClientEventRow | undefined
  for (const row of rows) {
    if (direction === 'b' ? row.originServerTs > ts : row.originServerTs < ts) continue
    const closer = found === undefined || Math.abs(row.originServerTs - ts) < Math.abs(found.originServerTs - ts)
    if (closer && access.view.sees(row)) found = row
  }
  return found
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
