import { requireRoomVersion } from '@weft/matrix'
import type { SyncEventRow } from '@weft/storage'
import { type Quoted, TimelineEvent } from './timeline-event.ts'

/** Where events are loaded from. */
export interface EventSource {
  eventsByNids(nids: readonly number[]): Promise<SyncEventRow[]>
}

/** How many redactions are remembered for events that are being loaded while they arrive. */
const REMEMBERED_REDACTIONS = 2000

interface Redaction {
  readonly nid: number
  readonly eventId: string
  readonly json: string | undefined
}

/**
 * The events this process has met lately, by nid, bounded in bytes; the least recently used go first. Rooms' rings keep theirs
 * whatever happens here.
 */
export class EventStore {
  readonly #source: EventSource
  readonly #maxBytes: number
  readonly #events = new Map<number, TimelineEvent>()
  readonly #weights = new Map<number, number>()
  readonly #redactions = new Map<number, Redaction>()
  /** Loads under way, so that a hundred readers of one event ask once. */
  readonly #loading = new Map<number, Promise<void>>()
  #bytes = 0

  constructor(source: EventSource, maxBytes: number) {
    this.#source = source
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#events.size
  }

  get(nid: number): TimelineEvent | undefined {
    const event = this.#events.get(nid)
    if (event === undefined) return undefined
    this.#events.delete(nid)
    this.#events.set(nid, event)
    return event
  }

  /** Keeps an event that came over the stream. */
  add(event: TimelineEvent): void {
    const { nid } = event.facts
    this.#forget(nid)
    const weight = event.bytes
    this.#events.set(nid, event)
    this.#weights.set(nid, weight)
    this.#bytes += weight
    while (this.#bytes > this.#maxBytes && this.#events.size > 1) this.#forget(this.#events.keys().next().value as number)
  }

  /** An event of this store, or of `ring`, was redacted. */
  redacted(targetNid: number, redaction: Redaction, ring: TimelineEvent | undefined): void {
    this.#redactions.set(targetNid, redaction)
    if (this.#redactions.size > REMEMBERED_REDACTIONS) this.#redactions.delete(this.#redactions.keys().next().value as number)
    this.#events.get(targetNid)?.redact(redaction)
    ring?.redact(redaction)
  }

  /** The events of these nids, in one statement for those that are not here. What does not exist is left out. */
  async load(nids: Iterable<number>): Promise<Map<number, TimelineEvent>> {
    const found = new Map<number, TimelineEvent>()
    const missing: number[] = []
    for (const nid of nids) {
      const event = this.get(nid)
      if (event?.complete) found.set(nid, event)
      else missing.push(nid)
    }
    if (missing.length === 0) return found
    for (const row of await this.#source.eventsByNids(missing)) {
      const event = this.fromRow(row)
      this.add(event)
      found.set(row.eventNid, event)
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
      const kept = this.#events.get(row.eventNid)
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
        version: requireRoomVersion(row.roomVersion),
        replacesNid: undefined,
        transaction: undefined,
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

  #forget(nid: number): void {
    if (!this.#events.delete(nid)) return
    this.#bytes -= this.#weights.get(nid) ?? 0
    this.#weights.delete(nid)
  }
}
