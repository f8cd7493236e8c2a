import type { RoomVersion } from '@weft/matrix'
import type { EventGraphReader } from '@weft/storage'
import { KnownEvent } from './known-event.ts'

/** The events that one batch is judged by and built on, as they are read. Lives as long as the batch. */
export class EventIndex {
  readonly #graph: EventGraphReader
  readonly #room: { readonly roomNid: number; readonly roomId: string; readonly version: RoomVersion }
  readonly #byId = new Map<string, KnownEvent>()
  readonly #byNid = new Map<number, KnownEvent>()
  readonly #looked = new Set<string>()

  constructor(graph: EventGraphReader, room: { readonly roomNid: number; readonly roomId: string; readonly version: RoomVersion }) {
    this.#graph = graph
    this.#room = room
  }

  /** What is known of an event, once it was looked for. */
  get(eventId: string): KnownEvent | undefined {
    return this.#byId.get(eventId)
  }

  add(event: KnownEvent): void {
    this.#byId.set(event.eventId, event)
    this.#byNid.set(event.row.eventNid, event)
    this.#looked.add(event.eventId)
  }

  /** Takes back what an event was entered as, for what it was before. */
  restore(event: KnownEvent, before: KnownEvent | undefined): void {
    this.#byNid.delete(event.row.eventNid)
    if (before === undefined) this.#byId.delete(event.eventId)
    else this.add(before)
  }

  /** Looks for those events that were not looked for yet, in one statement. */
  async look(eventIds: Iterable<string>): Promise<void> {
    const missing = [...new Set(eventIds)].filter((id) => !this.#looked.has(id))
    if (missing.length === 0) return
    for (const row of await this.#graph.byIds(missing)) this.add(new KnownEvent(row, this.#room))
    for (const id of missing) this.#looked.add(id)
  }

  async byNids(nids: Iterable<number>): Promise<KnownEvent[]> {
    const wanted = [...nids]
    for (const row of await this.#graph.byNids(wanted.filter((nid) => !this.#byNid.has(nid)))) this.add(new KnownEvent(row, this.#room))
    return wanted.flatMap((nid) => this.#byNid.get(nid) ?? [])
  }
}
