import type { JsonValue } from '@weft/matrix'
import type { PeerRoom } from './peer-room.ts'

/** Answers for a room as one of the servers in it would: events between, events by id, states. */
export class PeerSource {
  readonly #room: PeerRoom
  readonly #withheld: ReadonlySet<string>
  /** What was asked, in order. */
  readonly asked: string[] = []

  /** @param options.withhold events that are not to be had by missingEvents: the way to them is too long */
  constructor(room: PeerRoom, options: { readonly withhold?: Iterable<string> } = {}) {
    this.#room = room
    this.#withheld = new Set(options.withhold ?? [])
  }

  async missingEvents(request: { earliest: readonly string[]; latest: readonly string[]; limit: number }): Promise<JsonValue[]> {
    this.asked.push('missing')
    const stop = new Set(request.earliest)
    const seen = new Set(request.latest)
    const found: string[] = []
    for (let open = [...request.latest]; open.length > 0 && found.length < request.limit; ) {
      const next: string[] = []
      for (const id of open.flatMap((eventId) => this.#room.events.get(eventId)?.prevIds ?? [])) {
        if (seen.has(id) || stop.has(id) || this.#withheld.has(id)) continue
        seen.add(id)
        found.push(id)
        next.push(id)
      }
      open = next
    }
    return this.#room.pdus(found.slice(0, request.limit))
  }

  async events(_roomId: string, eventIds: readonly string[]): Promise<JsonValue[]> {
    this.asked.push('events')
    return this.#room.pdus(eventIds.filter((id) => this.#room.events.has(id)))
  }

  async stateIdsBefore(_roomId: string, eventId: string): Promise<string[] | undefined> {
    this.asked.push('state')
    const event = this.#room.events.get(eventId)
    return event && [...event.before.entries()].map(([, , id]) => id)
  }
}
