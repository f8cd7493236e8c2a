import { isEventId, type JsonValue, MatrixError, ownString } from '@weft/matrix'
import { type ReceiptsRow, receiptsStream } from '@weft/replication'
import { ReceiptsWriter, UNTHREADED } from '@weft/storage'
import type { AccountData } from './account-data.ts'
import { KeyedQueue } from './keyed-queue.ts'
import type { KnownRoom, WriteStores } from './ports.ts'

const RECEIPT_TYPES = ['m.read', 'm.read.private'] as const
export type ReceiptType = (typeof RECEIPT_TYPES)[number]
const FULLY_READ = 'm.fully_read'
const MAIN_THREAD = 'main'

/** An event as receipts need it. */
export interface ReceiptEvent {
  /** Its place in the room's timeline; absent for an event that is in none. */
  readonly streamOrdering: number | undefined
  /** The root of the thread that it is in, at most three relations away; absent in the main timeline. */
  threadRoot(): Promise<string | undefined>
}

/** Finds events of a room; the composition implements it over the rooms' stores. */
export interface ReceiptEvents {
  /** @returns undefined for an event that is not in that room */
  find(roomNid: number, eventId: string): Promise<ReceiptEvent | undefined>
}

export interface ReceiptsOptions extends WriteStores {
  readonly events: ReceiptEvents
  readonly accountData: AccountData
}

/** Moves read receipts and fully read markers, forwards only. Spec: client-server API, "Receipts", "Fully read markers". */
export class Receipts {
  readonly #options: ReceiptsOptions
  readonly #queue = new KeyedQueue()

  constructor(options: ReceiptsOptions) {
    this.#options = options
  }

  /**
   * @param threadId as the client gave it: undefined for an unthreaded receipt
   * @throws MatrixError M_INVALID_PARAM for a thread that the event is not in or an unknown type; M_NOT_FOUND for an event that is
   *   not in the room
   */
  async set(userId: string, room: KnownRoom, receiptType: string, eventId: string, threadId?: JsonValue): Promise<void> {
    if (receiptType === FULLY_READ) {
      if (threadId !== undefined) throw new MatrixError('M_INVALID_PARAM', 'thread_id is not compatible with m.fully_read')
      return this.setFullyRead(userId, room, eventId)
    }
    if (!isReceiptType(receiptType))
      throw new MatrixError('M_INVALID_PARAM', `Receipt type must be one of ${[...RECEIPT_TYPES, FULLY_READ].join(', ')}`)
    if (threadId !== undefined && (typeof threadId !== 'string' || threadId === '')) {
      throw new MatrixError('M_INVALID_PARAM', 'thread_id field must be a non-empty string')
    }
    const event = await this.#require(room, eventId)
    if (threadId !== undefined && !(await isInThread(event, eventId, threadId))) {
      throw new MatrixError('M_INVALID_PARAM', 'The event is not related to the thread_id')
    }
    await this.#queue.run(userId, () => this.#advance(userId, room, receiptType, eventId, event, threadId))
  }

  async #advance(
    userId: string,
    room: KnownRoom,
    receiptType: ReceiptType,
    eventId: string,
    event: ReceiptEvent,
    threadId: string | undefined,
  ): Promise<void> {
    const ts = this.#options.clock.now()
    await this.#options.streams.write(receiptsStream, 1, async (tx, [position]) => {
      const moved = await new ReceiptsWriter(tx).advance({
        roomNid: room.roomNid,
        receiptType,
        userId,
        threadId: threadId ?? UNTHREADED,
        position: position!,
        eventId,
        eventStreamOrdering: event.streamOrdering,
        ts,
      })
      if (!moved) return []
      const row: ReceiptsRow = { position: position!, roomNid: room.roomNid, roomId: room.roomId, receiptType, userId, eventId, ts }
      return [threadId === undefined ? row : { ...row, threadId }]
    })
  }

  /** Moves the fully read marker, which is account data of the room. @throws MatrixError M_NOT_FOUND */
  async setFullyRead(userId: string, room: KnownRoom, eventId: string): Promise<void> {
    const event = await this.#require(room, eventId)
    await this.#options.accountData.update(userId, room, FULLY_READ, async (now) => {
      const current = now === undefined ? undefined : ownString(now, 'event_id')
      if (current === eventId) return undefined
      const place = current === undefined ? undefined : (await this.#options.events.find(room.roomNid, current))?.streamOrdering
      const isBehind = place !== undefined && event.streamOrdering !== undefined && event.streamOrdering < place
      return isBehind ? undefined : { event_id: eventId }
    })
  }

  async #require(room: KnownRoom, eventId: string): Promise<ReceiptEvent> {
    const event = isEventId(eventId) ? await this.#options.events.find(room.roomNid, eventId) : undefined
    if (event === undefined) throw new MatrixError('M_NOT_FOUND', 'The event is not in the room')
    return event
  }
}

/** Spec: "Threaded read receipts": a thread's root, and what relates to it otherwise, is in the main timeline. */
async function isInThread(event: ReceiptEvent, eventId: string, threadId: string): Promise<boolean> {
  if (threadId === MAIN_THREAD) return (await event.threadRoot()) === undefined
  // An event may name anything as its thread, even what no column holds.
  if (!isEventId(threadId)) return false
  // NOTSPEC: the root itself is accepted in its own thread, as Synapse does: clients mark a thread read that has no replies yet.
  return eventId === threadId || (await event.threadRoot()) === threadId
}

function isReceiptType(type: string): type is ReceiptType {
  return (RECEIPT_TYPES as readonly string[]).includes(type)
}
