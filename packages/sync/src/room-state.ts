import { STRIPPED_STATE_TYPES, StateMap } from '@weft/matrix'
import type { LazyMembers } from './lazy-members.ts'
import { type RoomWork, type SyncScope, timelineStart } from './room-work.ts'
import { hidesFrom } from './rules.ts'
import { rollBack, valuesAfter, valuesBefore } from './state-deltas.ts'
import type { TimelineEvent } from './timeline-event.ts'

/** What was read of a room's current state. It may be ahead of the answer and is rolled back where it is used. */
export interface CurrentState {
  readonly state: StateMap<number>
}

interface Key {
  readonly roomNid: number
  readonly type: string
  readonly stateKey: string
}

interface KnownKey extends Key {
  readonly eventNid: number
}

/** The device whose knowledge of members counts; without a device nothing is redundant. */
export function lazyDevice(scope: SyncScope): string | undefined {
  return scope.deviceId === undefined ? undefined : JSON.stringify([scope.userId, scope.deviceId])
}

/**
 * The single state keys that an answer needs beside whole states, and of members what memory `has` of it: taken now, since what is read
 * drives others out of memory.
 */
export function keysToRead(
  works: readonly RoomWork[],
  scope: SyncScope,
  memberEvents: ReadonlyMap<number, TimelineEvent>,
): { readonly keys: Key[]; readonly has: KnownKey[] } {
  const keys: Key[] = []
  const has: KnownKey[] = []
  const lazy = scope.filter.room.state.lazyLoadMembers && !scope.filter.room.state.allowsNone
  for (const work of works) {
    const { roomNid } = work
    if (work.memberOnly) continue
    if (work.section === 'invite' || work.section === 'knock') {
      for (const [type, stateKey] of STRIPPED_STATE_TYPES) keys.push({ roomNid, type, stateKey })
      const sender = work.memberNid === undefined ? undefined : memberEvents.get(work.memberNid)?.facts.sender
      if (sender !== undefined && sender !== scope.userId) keys.push({ roomNid, type: 'm.room.member', stateKey: sender })
      continue
    }
    if (hidesFrom(work)) {
      keys.push({ roomNid, type: 'm.room.history_visibility', stateKey: '' }, { roomNid, type: 'm.room.member', stateKey: scope.userId })
    }
    if (!lazy) continue
    for (const userId of neededMembers(work, scope)) {
      const key = { roomNid, type: 'm.room.member', stateKey: userId }
      const eventNid = work.full ? undefined : work.feed?.members.get(userId)
      if (eventNid === undefined) keys.push(key)
      else has.push({ ...key, eventNid })
    }
  }
  return { keys, has }
}

/**
 * Whose member events a lazy client needs to show the room: the timeline's senders, the heroes, and itself where it starts anew.
 * Spec: client-server API, "Lazy-loading room members".
 */
function neededMembers(work: RoomWork, scope: SyncScope): Set<string> {
  const needed = new Set<string>()
  for (const event of work.timeline) needed.add(event.facts.sender)
  if (work.full) needed.add(scope.userId)
  for (const userId of work.summary?.heroes ?? []) needed.add(userId)
  return needed
}

/** The member event of an invite or knock with the room's stripped state. Spec: client-server API, "Stripped state". */
export function strippedNids(work: RoomWork, state: StateMap<number> | undefined): number[] {
  const nids = new Set<number>()
  if (!work.memberOnly && state !== undefined) for (const [, , nid] of state.entries()) nids.add(nid)
  if (work.memberNid !== undefined) nids.add(work.memberNid)
  return [...nids]
}

/**
 * The events of a room's `state` (or `state_after`).
 *
 * `state` is what a client must know before the timeline so that, with the timeline's state events on top, it ends up with the
 * state at the end: where the state at the end is an event of the timeline, what stood there at the timeline's start; else the
 * event itself, even when state resolution brought it without the timeline (R12: soft-failed events that became current).
 * `state_after` is the state at the end.
 * Spec: client-server API, "Syncing"; sync.yaml, `use_state_after`.
 */
export function stateEventNids(work: RoomWork, current: StateMap<number> | undefined, scope: SyncScope, lazy: LazyMembers): number[] {
  const filter = scope.filter.room.state
  if (filter.allowsNone || !filter.matchesRoom(work.roomId)) return []
  if (!scope.stateAfter) startAfterOverruled(work)
  const shown = scope.stateAfter ? new Set<number>() : new Set(work.timeline.map((event) => event.facts.nid))
  return work.full ? wholeState(work, current, scope, shown) : changedState(work, current, scope, shown, lazy)
}

/**
 * Starts the timeline after the last of its state events that another one replaced which the timeline does not show: it is hidden
 * from the reader, filtered away, or came by state resolution. It stands in `state`, and a client that applies the timeline on top
 * would go back to the older one.
 */
function startAfterOverruled(work: RoomWork): void {
  const start = timelineStart(work)
  const newest = work.deltas.at(-1)
  if (newest === undefined || newest.position <= start) return
  const latest = valuesAfter(work.deltas, start, work.until)
  const shown = new StateMap<boolean>()
  for (let i = work.timeline.length - 1; i >= 0; i--) {
    const { nid, type, stateKey } = (work.timeline[i] as TimelineEvent).facts
    const now = stateKey === undefined ? undefined : latest.get(type, stateKey)
    if (stateKey === undefined || typeof now !== 'number' || shown.has(type, stateKey)) continue
    if (nid === now) shown.set(type, stateKey, true)
    else {
      work.timeline = work.timeline.slice(i + 1)
      work.limited = true
      return
    }
  }
}

function wholeState(work: RoomWork, current: StateMap<number> | undefined, scope: SyncScope, shown: ReadonlySet<number>): number[] {
  if (current === undefined) return []
  rollBack(current, work.deltas, work.until)
  const atStart = valuesBefore(work.deltas, timelineStart(work), work.until)
  const members = scope.filter.room.state.lazyLoadMembers ? neededMembers(work, scope) : undefined
  const nids: number[] = []
  for (const [type, stateKey, nid] of current.entries()) {
    if (members !== undefined && type === 'm.room.member' && !members.has(stateKey)) continue
    const start = shown.has(nid) ? atStart.get(type, stateKey) : nid
    if (typeof start === 'number') nids.push(start)
  }
  return nids
}

function changedState(
  work: RoomWork,
  current: StateMap<number> | undefined,
  scope: SyncScope,
  shown: ReadonlySet<number>,
  lazy: LazyMembers,
): number[] {
  const start = timelineStart(work)
  const nids = new Set<number>()
  const newest = work.deltas.at(-1)
  const quiet = newest === undefined || newest.position <= work.since
  if (!quiet) {
    const inGap = valuesAfter(work.deltas, work.since, start)
    for (const [type, stateKey, nid] of valuesAfter(work.deltas, work.since, work.until).entries()) {
      const wanted = nid !== null && shown.has(nid) ? inGap.get(type, stateKey) : nid
      if (typeof wanted === 'number') nids.add(wanted)
    }
  }
  if (!scope.filter.room.state.lazyLoadMembers) return [...nids]
  const atStart = quiet ? undefined : valuesBefore(work.deltas, start, work.until)
  if (current !== undefined && !quiet) rollBack(current, work.deltas, work.until)
  const device = lazyDevice(scope)
  const redundantToo = scope.filter.room.state.includeRedundantMembers || device === undefined
  for (const userId of neededMembers(work, scope)) {
    const before = scope.stateAfter ? undefined : atStart?.get('m.room.member', userId)
    if (before === null) continue
    const nid = before ?? current?.get('m.room.member', userId) ?? work.feed?.members.get(userId)
    if (nid === undefined || shown.has(nid)) continue
    if (!redundantToo && lazy.knows(device, work.roomNid, userId, nid, work.memberPosition, scope.held)) continue
    nids.add(nid)
  }
  return [...nids]
}
