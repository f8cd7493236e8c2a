import { setImmediate as turn } from 'node:timers/promises'
import { requireRoomVersion } from '@weft/matrix'
import type { SyncEventRow } from '@weft/storage'
import { LRUCache } from 'lru-cache'
import { type Quoted, TimelineEvent } from './timeline-event.ts'

/** Where events are loaded from. */
export interface EventSource {
  eventsByNids(nids: readonly number[]): Promise<SyncEventRow[]>
}

/** How many redactions are remembered for events that are being loaded while they arrive. */
const REMEMBERED_REDACTIONS = 2000
/** Events that are loaded and written down in one turn: the state of a room of 20,000 members must not hold up everybody else. */
const EVENTS_A_TURN = 400
const LOOKS_A_TURN = 2000

interface Redaction {
  readonly nid: number
  readonly eventId: string
  readonly json: string | undefined
}

/**
 * The events this process has met lately, by nid, bounded in bytes; the least recently used go first. Rooms' feeds keep theirs
 * whatever happens here.
 */
export class EventStore {
  readonly #source: EventSource
  readonly #events: LRUCache<number, TimelineEvent>
  readonly #redactions = new LRUCache<number, Redaction>({ max: REMEMBERED_REDACTIONS })
  /** Loads under way, so that a hundred readers of one event ask once. */
  readonly #loading = new Map<number, Promise<void>>()

  constructor(source: EventSource, maxBytes: number) {
    this.#source = source
    // The newest is kept even where it alone is more than the budget.
    this.#events = new LRUCache({ maxSize: maxBytes, sizeCalculation: (event) => Math.min(event.bytes, maxBytes) })
  }

  get bytes(): number {
    return this.#events.calculatedSize
  }

  /** The event if it is here; its text may be missing (`complete`). */
  get(nid: number): TimelineEvent | undefined {
    return this.#events.get(nid)
  }

  /** Keeps an event that came over the stream. */
  add(event: TimelineEvent): void {
    this.#events.set(event.facts.nid, event)
  }

  /** An event of this store, or of `ring`, was redacted. */
  redacted(targetNid: number, redaction: Redaction, ring: TimelineEvent | undefined): void {
    this.#redactions.set(targetNid, redaction)
    this.#events.peek(targetNid)?.redact(redaction)
    ring?.redact(redaction)
  }

  /** The events of these nids, in one statement for each thousand that are not here. What does not exist is left out. */
  async load(nids: Iterable<number>): Promise<Map<number, TimelineEvent>> {
    const found = new Map<number, TimelineEvent>()
    const missing: number[] = []
    let looked = 0
    for (const nid of nids) {
      const event = this.get(nid)
      if (event?.complete) found.set(nid, event)
      else missing.push(nid)
      if (++looked % LOOKS_A_TURN === 0) await turn()
    }
    for (let from = 0; from < missing.length; from += EVENTS_A_TURN) {
      for (const row of await this.#source.eventsByNids(missing.slice(from, from + EVENTS_A_TURN))) {
        const event = this.fromRow(row)
        if (missing.length > EVENTS_A_TURN) event.prepare()
        this.add(event)
        found.set(row.eventNid, event)
      }
    }
    return found
  }

  /** Completes events that are in somebody's hands already, in one statement for those nobody is loading yet. */
  async complete(events: Iterable<TimelineEvent>): Promise<void> {
    const waits = new Set<Promise<void>>()
    const mine = new Map<number, TimelineEvent>()
    for (const event of events) {
      if (event.complete) continue
      const running = this.#loading.get(event.facts.nid)
      if (running !== undefined) waits.add(running)
      else mine.set(event.facts.nid, event)
    }
    if (mine.size > 0) {
      const load = this.#completeNow(mine).finally(() => {
        for (const nid of mine.keys()) this.#loading.delete(nid)
      })
      for (const nid of mine.keys()) this.#loading.set(nid, load)
      waits.add(load)
    }
    await Promise.all(waits)
  }

  async #completeNow(events: ReadonlyMap<number, TimelineEvent>): Promise<void> {
    for (const row of await this.#source.eventsByNids([...events.keys()])) {
      const event = events.get(row.eventNid)
      event?.fill(this.#quoted(row))
      // The copy that the store has may be another one.
      const kept = this.#events.peek(row.eventNid)
      if (kept !== undefined && kept !== event) kept.fill(this.#quoted(row))
    }
  }

  /** An event of a row that was read for a timeline or a state. */
  fromRow(row: SyncEventRow): TimelineEvent {
    const event = new TimelineEvent(
      {
        nid: row.eventNid,
        eventId: row.eventId,
        roomNid: row.roomNid,
        position: row.position ?? 0,
        type: row.type,
        stateKey: row.stateKey,
        sender: row.sender,
        originServerTs: row.originServerTs,
        version: requireRoomVersion(row.roomVersion),
        replacesNid: undefined,
        transaction: row.transaction,
      },
      undefined,
    )
    event.fill(this.#quoted(row))
    return event
  }

  /** A redaction may have arrived after the row was read. */
  #quoted(row: SyncEventRow): Quoted {
    const late = row.redaction === undefined ? this.#redactions.get(row.eventNid) : undefined
    const redaction = late?.json === undefined ? row.redaction : { eventId: late.eventId, json: late.json }
    return { json: row.json, version: requireRoomVersion(row.roomVersion), replaced: row.replaced, redaction }
  }
}
