import { createEventIdOf, type StateEventView } from '@weft/matrix'
import { authDepthOver } from '../append-event.ts'
import type { IdSource } from '../ids.ts'
import type { RoomHead } from '../room-head.ts'
import type { EventIndex } from './event-index.ts'
import { allowedByAuthEvents } from './judge.ts'
import { KnownEvent } from './known-event.ts'
import { graphRow, type PlacedEvent, type PlacedEvents, placedEvent } from './placed-events.ts'
import type { ReceivedEvent } from './read-pdu.ts'
import type { Turns } from './turns.ts'

/**
 * Events to be kept without a place in the room's history, as parts of auth chains and states. They are judged by their auth events
 * alone, which are in the index or come before them.
 *
 * Spec: server-server API, "Checks performed on receipt of a PDU", 4.
 */
export async function outliersToPlace(
  head: RoomHead,
  index: EventIndex,
  outliers: readonly ReceivedEvent[],
  tools: { readonly eventNids: IdSource; readonly turns: Turns },
): Promise<PlacedEvents> {
  const nids = await tools.eventNids.take(outliers.length)
  const events: PlacedEvent[] = []
  for (const [i, event] of outliers.entries()) {
    await tools.turns.rest()
    const authEvents = event.authIds.flatMap((id) => index.get(id) ?? [])
    const verdict = allowedByAuthEvents(head.version, event.view, authEvents, createOf(head, index))
    const row = graphRow(event, {
      eventNid: nids[i] as number,
      roomNid: head.roomNid,
      authDepth: authDepthOver(authEvents.map((known) => known.row)),
      stateGroup: undefined,
      outlier: true,
      softFailed: false,
      rejected: !verdict.ok,
    })
    index.add(new KnownEvent(row, head))
    events.push(placedEvent(event, row, { inTimeline: false, wasOutlier: false, rejectionReason: verdict.ok ? undefined : verdict.rule }))
  }
  return { events, groups: [], changes: [], keys: [], extremities: undefined, statements: [] }
}

/** From room version 12 on the room id names the create event, which no auth event is. */
function createOf(head: RoomHead, index: EventIndex): StateEventView | undefined {
  const held = head.get('m.room.create', '')
  if (held !== undefined || !head.version.createNotInAuthEvents) return held
  const view = index.get(createEventIdOf(head.roomId) ?? '')?.view
  return view?.stateKey === undefined ? undefined : { ...view, stateKey: view.stateKey }
}
