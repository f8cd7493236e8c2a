import { setImmediate as turn } from 'node:timers/promises'
import { MatrixError, type RoomVersion } from '@weft/matrix'
import { appendEvent, type PreparedEvent, type Proposal } from './append-event.ts'
import { RoomHead } from './room-head.ts'

/** What {@link appendEvent} builds with. */
export type BuildTools = Omit<Parameters<typeof appendEvent>[2], 'eventNid'>

/** A room that takes another's place. Proposals are made anew for each attempt. */
export interface Replacement {
  readonly version: RoomVersion
  readonly creator: string
  /** The new room's first events, the create event before all others. @param predecessorEventId the old room's last event, if known */
  first(predecessorEventId: string | undefined): readonly Proposal[]
  /** The event that ends the old room. */
  tombstone(replacementRoomId: string): Proposal
  /** What else is to happen to the old room; each is passed over where its sender may not. */
  readonly after: readonly Proposal[]
}

export interface BuiltReplacement {
  readonly head: RoomHead
  readonly events: readonly PreparedEvent[]
  readonly oldEvents: readonly PreparedEvent[]
}

/** Events built between two looks at what else there is to do. */
const AT_A_TIME = 50

/**
 * The first events of a room, on a head of its own.
 * @param room `draft` is the room id, '' where it is the hash of the create event
 * @param nextNid gives a number for each event
 */
export function buildRoom(
  room: { readonly roomNid: number; readonly draft: string; readonly version: RoomVersion },
  proposals: readonly Proposal[],
  tools: BuildTools,
  nextNid: () => number,
): { head: RoomHead; events: PreparedEvent[] } {
  const builder = new RoomInTheMaking(room, tools, nextNid)
  for (const proposal of proposals) builder.add(proposal)
  return builder
}

/**
 * The first events of a room that replaces another, and the last ones of that other. Before room version 12 the new room knows the
 * tombstone as its predecessor's last event; from then on its id depends on its create event, and the tombstone on its id.
 * Whoever calls holds the old head's gate, and drops that head where this fails.
 */
export async function buildReplacement(
  old: RoomHead,
  room: { readonly roomNid: number; readonly draft: string },
  replacement: Replacement,
  tools: BuildTools,
  nextNid: () => number,
): Promise<BuiltReplacement> {
  const { draft } = room
  const oldEvents: PreparedEvent[] = []
  const end = (roomId: string) => oldEvents.push(appendEvent(old, replacement.tombstone(roomId), { ...tools, eventNid: nextNid() }))
  const lastKnown = old.extremities[0]?.eventId
  if (draft !== '') end(draft)
  const builder = new RoomInTheMaking({ ...room, version: replacement.version }, tools, nextNid)
  for (const [i, proposal] of replacement.first(oldEvents[0]?.built.eventId ?? lastKnown).entries()) {
    builder.add(proposal)
    if (i % AT_A_TIME === AT_A_TIME - 1) await turn()
  }
  if (draft === '') end(builder.head.roomId)
  for (const proposal of replacement.after) {
    try {
      oldEvents.push(appendEvent(old, proposal, { ...tools, eventNid: nextNid() }))
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
    }
  }
  return { head: builder.head, events: builder.events, oldEvents }
}

class RoomInTheMaking {
  readonly events: PreparedEvent[] = []
  readonly #tools: BuildTools
  readonly #nextNid: () => number
  #head: RoomHead

  constructor(
    room: { readonly roomNid: number; readonly draft: string; readonly version: RoomVersion },
    tools: BuildTools,
    nextNid: () => number,
  ) {
    this.#head = new RoomHead({ roomNid: room.roomNid, roomId: room.draft, version: room.version })
    this.#tools = tools
    this.#nextNid = nextNid
  }

  get head(): RoomHead {
    return this.#head
  }

  add(proposal: Proposal): void {
    const event = appendEvent(this.#head, proposal, { ...this.#tools, eventNid: this.#nextNid() })
    this.events.push(event)
    if (this.events.length === 1 && this.#head.roomId === '') this.#head = this.#head.withRoomId(event.built.roomId)
  }
}
