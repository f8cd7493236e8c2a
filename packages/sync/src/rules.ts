import { isEventVisible, own, readHistoryVisibility } from '@weft/matrix'
import type { RoomWork, SyncScope } from './room-work.ts'
import type { Delta } from './state-deltas.ts'
import type { TimelineEvent } from './timeline-event.ts'

/** One state key over the shown stretch: what it holds now, and all changes from the stretch's start on, oldest first. */
export interface KeyHistory {
  readonly current: number | undefined
  readonly deltas: readonly Delta[]
}

/** What decides who sees what in a room. */
export interface RoomHistory {
  readonly visibility: KeyHistory
  /** The reader's own. */
  readonly membership: KeyHistory
}

/**
 * Whether the reader's filter and ignored users let an event into the timeline. State of ignored users is still shown.
 * Spec: client-server API, "Filtering", "Ignoring Users".
 */
export function wantedInTimeline(event: TimelineEvent, roomId: string, scope: SyncScope): boolean {
  const { facts } = event
  if (scope.ignored.size > 0 && facts.stateKey === undefined && scope.ignored.has(facts.sender) && facts.sender !== scope.userId)
    return false
  const filter = scope.filter.room.timeline
  return filter.allowsAll || filter.matches({ type: facts.type, sender: facts.sender, roomId, content: () => event.content })
}

/**
 * True when some of the timeline may be hidden from the reader. Who was in the room all along sees everything, which spares
 * reading the history of the visibility.
 */
export function hidesFrom(work: RoomWork): boolean {
  const first = work.timeline[0]
  if (!work.partlyHidden || first === undefined || work.memberOnly) return false
  return work.section !== 'join' || work.memberPosition > first.facts.position
}

/** Asks whether the reader may see an event of the room. */
export type Sight = (event: { readonly position: number; readonly type: string; readonly stateKey: string | undefined }) => boolean

/**
 * What the reader may see of a room. Spec: client-server API, "Room History Visibility".
 *
 * NOTSPEC: "the state at the event" is the current state at the event's position in this server's timeline, as in
 * packages/storage/src/visibility.ts.
 */
export function sightOf(work: RoomWork, history: RoomHistory, events: ReadonlyMap<number, TimelineEvent>, userId: string): Sight {
  const visibility = (nid: number | undefined) => readHistoryVisibility(nid === undefined ? undefined : events.get(nid)?.content)
  const membership = (nid: number | undefined) => {
    const content = nid === undefined ? undefined : events.get(nid)?.content
    const value = content && own(content, 'membership')
    return typeof value === 'string' ? value : undefined
  }
  return ({ position, type, stateKey }) =>
    isEventVisible({
      type,
      stateKey,
      userId,
      visibilityBefore: visibility(valueAt(history.visibility, position - 1)),
      visibilityAfter: visibility(valueAt(history.visibility, position)),
      membershipBefore: membership(valueAt(history.membership, position - 1)),
      membershipAfter: membership(valueAt(history.membership, position)),
      joinedSince: work.section === 'join' || position < work.until,
    })
}

/** What the key held once everything up to `position` had happened. */
function valueAt(history: KeyHistory, position: number): number | undefined {
  const later = history.deltas.find((delta) => delta.position > position)
  return later === undefined ? history.current : later.prevEventNid
}
