import { type EventReference, joinPdu, type RoomVersion, referenceHash } from '@weft/matrix'
import type { EventsReader } from '@weft/storage'
import { LRUCache } from 'lru-cache'

/** Thrown when something an event is built with is not in memory: the caller fetches it and tries again. */
export class NotPrepared extends Error {
  /** Fetches it, where that is not what every attempt begins with. */
  readonly prepare: (() => Promise<void>) | undefined

  constructor(message: string, prepare?: () => Promise<void>) {
    super(message)
    this.prepare = prepare
  }
}

interface Room {
  readonly roomId: string
  readonly version: RoomVersion
}

interface Referenced {
  readonly eventNid: number
  readonly eventId: string
}

/**
 * What events of room versions 1 and 2 need beyond all others: an id that their server makes up, and references that carry the
 * hash of the event they name. Hashes are read when an event is first referred to, and kept for the rooms in use.
 * Spec: room version 1, "Event format".
 */
export class FirstFormat {
  readonly #events: EventsReader
  readonly #serverName: string
  readonly #randomId: (length: number) => string
  readonly #hashes: LRUCache<number, string>

  /** @param options.max how many hashes to keep (about 150 bytes each) */
  constructor(options: { events: EventsReader; serverName: string; randomId: (length: number) => string; max?: number }) {
    this.#events = options.events
    this.#serverName = options.serverName
    this.#randomId = options.randomId
    this.#hashes = new LRUCache({ maxSize: options.max ?? 20_000, sizeCalculation: () => 1 })
  }

  newEventId(): string {
    return `$${this.#randomId(18)}:${this.#serverName}`
  }

  /** References by event id. @throws NotPrepared where a hash is not in memory */
  references(room: Room, events: readonly Referenced[]): Map<string, EventReference> {
    const references = new Map<string, EventReference>()
    const missing: number[] = []
    for (const { eventNid, eventId } of events) {
      const sha256 = this.#hashes.get(eventNid)
      if (sha256 === undefined) missing.push(eventNid)
      else references.set(eventId, [eventId, { sha256 }])
    }
    if (missing.length > 0) throw new NotPrepared('no hash to refer to an event by', () => this.#read(room, missing))
    return references
  }

  keep(eventNid: number, sha256: string): void {
    this.#hashes.set(eventNid, sha256)
  }

  async #read({ roomId, version }: Room, eventNids: readonly number[]): Promise<void> {
    for (const [nid, row] of await this.#events.fullByNids(eventNids)) {
      this.keep(nid, referenceHash(joinPdu(row.json, row.envelope, roomId, version), version))
    }
  }
}
