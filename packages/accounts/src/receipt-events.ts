import { isJsonObject, type JsonObject, own, parseJsonObject, relationOf, threadRootOf } from '@weft/matrix'
import type { ClientEventRow } from '@weft/storage'
import type { ReceiptEvent, ReceiptEvents } from './receipts.ts'

/** What it takes of the events' store. */
export interface EventLookup {
  byId(eventId: string): Promise<ClientEventRow | undefined>
}

/** Spec: "Threaded read receipts": how far an indirect relation to a thread is followed. */
const MAX_HOPS = 3

/** Finds events for receipts, with the thread that they are in. */
export class StoredReceiptEvents implements ReceiptEvents {
  readonly #events: EventLookup

  constructor(events: EventLookup) {
    this.#events = events
  }

  async find(roomNid: number, eventId: string): Promise<ReceiptEvent | undefined> {
    const event = await this.#inRoom(roomNid, eventId)
    if (event === undefined) return undefined
    return { streamOrdering: event.streamOrdering, threadRoot: () => this.#threadRoot(roomNid, event) }
  }

  async #threadRoot(roomNid: number, event: ClientEventRow): Promise<string | undefined> {
    let content: JsonObject = contentOf(event)
    for (let hop = 0; hop < MAX_HOPS; hop++) {
      const root = threadRootOf(content)
      if (root !== undefined) return root
      const parentId = relationOf(content)?.eventId
      const parent = parentId === undefined ? undefined : await this.#inRoom(roomNid, parentId)
      if (parent === undefined) return undefined
      content = contentOf(parent)
    }
    return threadRootOf(content)
  }

  async #inRoom(roomNid: number, eventId: string): Promise<ClientEventRow | undefined> {
    const event = await this.#events.byId(eventId)
    return event?.roomNid === roomNid && event.rejectionReason === undefined ? event : undefined
  }
}

function contentOf(event: ClientEventRow): JsonObject {
  const content = own(parseJsonObject(event.json), 'content')
  return isJsonObject(content) ? content : {}
}
