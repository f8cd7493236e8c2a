import {
  isJsonObject,
  type JsonObject,
  own,
  type Pdu,
  parseJsonObject,
  type RoomVersion,
  referencedIds,
  type StateEventView,
} from '@weft/matrix'
import type { GraphEventRow } from '@weft/storage'

/** Stored JSON may be nested as deep as federation allows and hold lone surrogates in old room versions. */
const STORED = { maxDepth: 1000, allowLoneSurrogates: true }

/** An event that is stored, or about to be: what others are judged by and built on. */
export class KnownEvent {
  readonly row: GraphEventRow
  /** As the PDU has it: absent on a create event from room version 12 on. Empty for an event of another room. */
  readonly roomId: string | undefined
  #content: JsonObject | undefined
  #envelope: JsonObject | undefined

  constructor(row: GraphEventRow, room: { readonly roomNid: number; readonly roomId: string; readonly version: RoomVersion }) {
    this.row = row
    if (row.roomNid !== room.roomNid) this.roomId = ''
    else this.roomId = room.version.roomIdIsCreateHash && row.type === 'm.room.create' ? undefined : room.roomId
  }

  get eventId(): string {
    return this.row.eventId
  }

  get content(): JsonObject {
    if (this.#content === undefined) {
      const content = own(parseJsonObject(this.row.json, STORED), 'content')
      this.#content = isJsonObject(content) ? content : {}
    }
    return this.#content
  }

  get prevIds(): string[] {
    return this.#references('prev_events')
  }

  get authIds(): string[] {
    return this.#references('auth_events')
  }

  /** True where it has a place in the room's graph, with a state after it. */
  get placed(): boolean {
    return !this.row.outlier && this.row.stateGroup !== undefined
  }

  /** The event as one that others are judged by; `stateKey` is absent for what is no state event. */
  get view(): Omit<StateEventView, 'stateKey'> & { readonly stateKey: string | undefined } {
    const { eventId, sender, type, stateKey, rejected } = this.row
    return { eventId, sender, type, stateKey, content: this.content, roomId: this.roomId, rejected }
  }

  #references(key: 'prev_events' | 'auth_events'): string[] {
    this.#envelope ??= parseJsonObject(this.row.envelope, STORED)
    return referencedIds((this.#envelope as unknown as Pdu)[key] ?? [])
  }
}
