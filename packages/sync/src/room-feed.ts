import { quoteJson, type RoomVersion } from '@weft/matrix'
import type { Delta } from './state-deltas.ts'
import type { TimelineEvent } from './timeline-event.ts'
import type { ViewRoom } from './user-view.ts'

/** A receipt as it is shown. */
export interface Receipt {
  readonly position: number
  readonly receiptType: string
  readonly userId: string
  readonly threadId: string | undefined
  readonly eventId: string
  readonly ts: number
}

export interface RoomSummary {
  readonly joined: number
  readonly invited: number
  /** Up to six, so that five are left without the reader. */
  readonly heroes: readonly string[]
}

export interface Room {
  readonly roomNid: number
  readonly roomId: string
  /** Absent until it was read. */
  readonly version: RoomVersion | undefined
}

export interface FeedLimits {
  readonly events: number
  readonly bytes: number
  readonly deltas: number
  readonly receipts: number
  readonly members: number
}

/** Bounds of what one room keeps; rooms together are bounded by the engine. */
export const FEED_LIMITS: FeedLimits = { events: 200, bytes: 512 * 1024, deltas: 500, receipts: 200, members: 2000 }

/** About what one of each occupies in memory, with its strings. */
const DELTA_BYTES = 350
const RECEIPT_BYTES = 450
const MEMBER_BYTES = 120

/**
 * What happened lately in a room that somebody here reads: the ends of its streams from a floor on, below which PostgreSQL is
 * asked. Rows come in the order of the streams.
 */
export class RoomFeed {
  readonly room: Room
  /** The room id as a JSON string: the key of the room in every answer. */
  readonly key: string
  readonly viewers = new Set<ViewRoom>()
  /** Oldest first; every event after {@link eventsFloor}. */
  events: TimelineEvent[] = []
  eventsFloor: number
  deltas: Delta[] = []
  deltasFloor: number
  receipts: Receipt[] = []
  receiptsFloor: number
  typing: { readonly position: number; readonly userIds: readonly string[] } = { position: 0, userIds: [] }
  /** Undefined until somebody asked, and again after each change of a membership. */
  summary: RoomSummary | undefined
  /** Counts member deltas, so that what was loaded meanwhile is known to be old. */
  memberChanges = 0
  /** Member events by user, as far as they were asked for. */
  readonly members = new Map<string, number>()
  /** Of the events. */
  bytes = 0
  /** When the last reader went, by the monotonic clock. */
  deserted: number | undefined
  readonly #limits: FeedLimits

  constructor(room: Room, floors: { readonly events: number; readonly receipts: number }, limits: FeedLimits = FEED_LIMITS) {
    this.room = room
    this.key = quoteJson(room.roomId)
    this.eventsFloor = floors.events
    this.deltasFloor = floors.events
    this.receiptsFloor = floors.receipts
    this.#limits = limits
  }

  /** The newest event of the room; beyond the bounds the older half goes. */
  addEvent(event: TimelineEvent): void {
    this.events.push(event)
    this.bytes += event.bytes
    if (this.events.length > this.#limits.events || this.bytes > this.#limits.bytes) this.#halve()
  }

  /** About what it occupies beside the events. */
  get otherBytes(): number {
    return this.deltas.length * DELTA_BYTES + this.receipts.length * RECEIPT_BYTES + this.members.size * MEMBER_BYTES
  }

  /** Where its newest event or change of state stands. */
  get newest(): number {
    return Math.max(this.events.at(-1)?.facts.position ?? this.eventsFloor, this.deltas.at(-1)?.position ?? this.deltasFloor)
  }

  /** Forgets all that PostgreSQL has. */
  clear(): void {
    this.eventsFloor = this.events.at(-1)?.facts.position ?? this.eventsFloor
    this.deltasFloor = this.deltas.at(-1)?.position ?? this.deltasFloor
    this.receiptsFloor = this.receipts.at(-1)?.position ?? this.receiptsFloor
    this.events = []
    this.deltas = []
    this.receipts = []
    this.members.clear()
    this.bytes = 0
  }

  /** Drops the oldest events until half of what the bounds allow is left at most. */
  #halve(): void {
    const events = this.#limits.events / 2
    const bytes = this.#limits.bytes / 2
    let from = 0
    while (from < this.events.length - 1 && (this.events.length - from > events || this.bytes > bytes)) {
      const dropped = this.events[from++] as TimelineEvent
      this.bytes -= dropped.bytes
      this.eventsFloor = dropped.facts.position
    }
    if (from > 0) this.events = this.events.slice(from)
    if (this.events.length <= 1) this.bytes = this.events[0]?.bytes ?? 0
    else if (this.bytes < 0) this.bytes = this.events.reduce((sum, event) => sum + event.bytes, 0)
  }

  /** The newest change of the room's state. One of a membership makes the summary unknown. */
  addDelta(delta: Delta): void {
    this.deltas.push(delta)
    if (delta.type === 'm.room.member') {
      this.memberChanges++
      this.summary = undefined
      if (delta.eventNid === undefined) this.members.delete(delta.stateKey)
      else if (this.members.has(delta.stateKey)) this.members.set(delta.stateKey, delta.eventNid)
    }
    if (this.deltas.length > this.#limits.deltas) {
      const cut = this.deltas.length - this.#limits.deltas / 2
      this.deltasFloor = (this.deltas[cut - 1] as Delta).position
      this.deltas = this.deltas.slice(cut)
    }
  }

  addReceipt(receipt: Receipt): void {
    this.receipts.push(receipt)
    if (this.receipts.length > this.#limits.receipts) {
      const cut = this.receipts.length - this.#limits.receipts / 2
      this.receiptsFloor = (this.receipts[cut - 1] as Receipt).position
      this.receipts = this.receipts.slice(cut)
    }
  }

  /** Remembers a member event, unless members changed while it was loaded. */
  addMember(userId: string, eventNid: number, memberChanges: number): void {
    if (memberChanges !== this.memberChanges) return
    if (this.members.size >= this.#limits.members) this.members.delete(this.members.keys().next().value as string)
    this.members.set(userId, eventNid)
  }

  /** The event if it is among the latest. */
  find(nid: number): TimelineEvent | undefined {
    return this.events.findLast((event) => event.facts.nid === nid)
  }
}
