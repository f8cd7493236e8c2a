import { setImmediate as turn } from 'node:timers/promises'
import { clampLimit, StateMap } from '@weft/matrix'
import type { AggregationReaders, SyncReader, TimelineRange } from '@weft/storage'
import type { EventStore } from './event-store.ts'
import type { LazyMembers } from './lazy-members.ts'
import { loadRelations } from './relations.ts'
import type { Receipt } from './room-feed.ts'
import { type CurrentState, keysToRead, stateEventNids, strippedNids } from './room-state.ts'
import { type RoomWork, type SyncScope, timelineStart } from './room-work.ts'
import { hidesFrom, type RoomHistory, sightOf, wantedInTimeline } from './rules.ts'
import type { Delta } from './state-deltas.ts'
import type { SummaryReader } from './summaries.ts'
import type { TimelineEvent } from './timeline-event.ts'

/** What a room shows when the filter names no limit, and what it may name at most. */
const DEFAULT_TIMELINE_LIMIT = 10
const MAX_TIMELINE_LIMIT = 1000
/** Receipts of one room that an initial sync shows at most, the newest. */
const MAX_RECEIPTS = 1000
/** Entries of states above which an answer is put together in several turns of the event loop: each step takes milliseconds. */
const LARGE_STATE = 2000

export interface HydrateDeps {
  readonly reader: SyncReader
  readonly store: EventStore
  readonly lazy: LazyMembers
  readonly summaries: SummaryReader
  readonly aggregations: AggregationReaders
}

/**
 * Loads what the rooms of an answer need: from memory where it reaches, from PostgreSQL in a number of statements that does not
 * depend on the number of rooms. For rooms that memory covers, as when a waiting /sync is woken, it sends none and does not wait.
 */
export async function hydrate(works: readonly RoomWork[], scope: SyncScope, deps: HydrateDeps): Promise<void> {
  const shown = works.filter((work) => (work.section === 'join' || work.section === 'leave') && !work.memberOnly)
  const timelines = loadTimelines(shown, scope, deps)
  if (timelines !== undefined) await timelines

  const summaries = loadSummaries(shown, deps)
  if (summaries !== undefined) await summaries

  const state = loadState(works, shown, scope, deps)
  if (state !== undefined) await state

  const rest = [loadReceipts(works, scope, deps), completeEvents(works, deps)]
  const waiting = rest.filter((one) => one !== undefined)
  if (waiting.length > 0) await Promise.all(waiting)

  const relations = loadRelations(shown, scope, deps.aggregations)
  if (relations !== undefined) await relations
}

/** How many events of a room's timeline are shown. */
function timelineLimit(scope: SyncScope): number {
  return clampLimit(scope.filter.room.timeline, DEFAULT_TIMELINE_LIMIT, MAX_TIMELINE_LIMIT)
}

function loadTimelines(works: readonly RoomWork[], scope: SyncScope, deps: HydrateDeps): Promise<void> | undefined {
  const filter = scope.filter.room.timeline
  const limit = timelineLimit(scope)
  const cold: RoomWork[] = []
  for (const work of works) {
    if (filter.allowsNone || !filter.matchesRoom(work.roomId) || work.since >= work.until) continue
    const recent = recentEvents(work, limit + 1, scope)
    if (recent === undefined) cold.push(work)
    else setTimeline(work, recent, limit)
  }
  if (cold.length === 0) return undefined
  return readTimelines(cold, limit, scope, deps)
}

async function readTimelines(works: readonly RoomWork[], limit: number, scope: SyncScope, deps: HydrateDeps): Promise<void> {
  const ranges: TimelineRange[] = works.map((work) => ({ roomNid: work.roomNid, since: work.since, until: work.until, limit: limit + 1 }))
  const found = new Map<number, TimelineEvent[]>(works.map((work) => [work.roomNid, []]))
  for (const row of await deps.reader.events.timelines(ranges, scope.filter.room.timeline)) {
    let event = deps.store.get(row.eventNid)
    if (event === undefined || !event.complete) {
      event = deps.store.fromRow(row)
      deps.store.add(event)
    }
    found.get(row.roomNid)?.push(event)
  }
  // Decided before the rules of one reader take events away: what they take is a gap in no sense that a client could fill.
  for (const work of works) {
    const events = found.get(work.roomNid) ?? []
    setTimeline(work, events, limit)
    work.timeline = work.timeline.filter((event) => wantedInTimeline(event, work.roomId, scope))
  }
}

/** The newest `count` wanted events in memory, oldest first; `undefined` where memory does not reach back far enough. */
function recentEvents(work: RoomWork, count: number, scope: SyncScope): TimelineEvent[] | undefined {
  const { feed } = work
  if (feed === undefined) return undefined
  const { events } = feed
  const { containsUrl } = scope.filter.room.timeline
  const found: TimelineEvent[] = []
  for (let i = events.length - 1; i >= 0 && found.length < count; i--) {
    const event = events[i] as TimelineEvent
    const { position } = event.facts
    if (position > work.until) continue
    if (position <= work.since) break
    // A text too large to travel: what the filter asks of its content, PostgreSQL has to say.
    if (containsUrl !== undefined && event.json === undefined) return undefined
    if (wantedInTimeline(event, work.roomId, scope)) found.push(event)
  }
  if (found.length < count && feed.eventsFloor > work.since) return undefined
  return found.reverse()
}

function setTimeline(work: RoomWork, events: TimelineEvent[], limit: number): void {
  work.limited = events.length > limit || work.newlyJoined
  work.timeline = events.length > limit ? events.slice(events.length - limit) : events
}

/** Counts and heroes, where members changed or the client has none. */
function loadSummaries(works: readonly RoomWork[], deps: HydrateDeps): Promise<void> | undefined {
  const missing: RoomWork[] = []
  const unknown: RoomWork[] = []
  for (const work of works) {
    if (work.section !== 'join') continue
    const { feed } = work
    if (!work.full && (feed === undefined || feed.deltasFloor > work.since)) {
      unknown.push(work)
      continue
    }
    if (!work.full && !membersChanged(work)) continue
    if (feed?.summary !== undefined) work.summary = feed.summary
    else missing.push(work)
  }
  if (unknown.length > 0)
    return deps.reader.states
      .changedMembers(unknown)
      .then((changed) => readSummaries([...missing, ...unknown.filter((work) => changed.has(work.roomNid))], deps))
  return missing.length === 0 ? undefined : readSummaries(missing, deps)
}

function membersChanged(work: RoomWork): boolean {
  const deltas = work.feed?.deltas ?? []
  for (let i = deltas.length - 1; i >= 0; i--) {
    const delta = deltas[i] as Delta
    if (delta.position <= work.since) return false
    if (delta.position <= work.until && delta.type === 'm.room.member') return true
  }
  return false
}

async function readSummaries(works: readonly RoomWork[], deps: HydrateDeps): Promise<void> {
  if (works.length === 0) return
  const asked = works.map((work) => ({ roomNid: work.roomNid, memberChanges: work.feed?.memberChanges }))
  const found = await deps.summaries.read(asked)
  for (const [index, work] of works.entries()) {
    work.summary = found.get(work.roomNid)
    if (work.feed !== undefined && work.feed.memberChanges === asked[index]?.memberChanges) work.feed.summary = work.summary
  }
}

/** Deltas, visibility and state events. */
function loadState(works: readonly RoomWork[], shown: readonly RoomWork[], scope: SyncScope, deps: HydrateDeps): Promise<void> | undefined {
  let warm = works.length === shown.length
  for (const work of shown) {
    if (work.full || hidesFrom(work) || work.feed === undefined || work.feed.deltasFloor > work.since) warm = false
    else work.deltas = work.feed.deltas
  }
  if (!warm) return readState(works, shown, scope, deps)
  if (keysToRead(works, scope, new Map()).keys.length > 0) return readState(works, shown, scope, deps)
  return takeState(shown, scope, new Map(), deps)
}

async function readState(works: readonly RoomWork[], shown: readonly RoomWork[], scope: SyncScope, deps: HydrateDeps): Promise<void> {
  const current = new Map<number, CurrentState>(works.map((work) => [work.roomNid, { state: new StateMap<number>() }]))
  const keep = (rows: ReadonlyArray<{ roomNid: number; type: string; stateKey: string; eventNid: number }>) => {
    for (const row of rows) current.get(row.roomNid)?.state.set(row.type, row.stateKey, row.eventNid)
  }
  const lazy = scope.filter.room.state.lazyLoadMembers
  const members = works.filter((work) => work.section === 'invite' || work.section === 'knock').map((work) => work.memberNid)
  const memberEvents = await deps.store.load(members.filter((nid) => nid !== undefined))
  const whole = shown.filter((work) => work.full && !scope.filter.room.state.allowsNone).map((work) => work.roomNid)
  const { keys, has } = keysToRead(works, scope, memberEvents)
  keep(has)
  const memberChanges = new Map(shown.map((work) => [work.roomNid, work.feed?.memberChanges]))
  const [wholeRows, keyRows] = await Promise.all([deps.reader.states.currentOf(whole, !lazy), deps.reader.states.currentAt(keys)])
  const large = wholeRows.length > LARGE_STATE
  keep(wholeRows)
  keep(keyRows)
  if (large) await turn()
  for (const work of shown) {
    const changes = memberChanges.get(work.roomNid)
    if (work.feed === undefined || changes === undefined) continue
    for (const row of keyRows) {
      if (row.roomNid === work.roomNid && row.type === 'm.room.member') work.feed.addMember(row.stateKey, row.eventNid, changes)
    }
  }
  // Read after the current state, so that whatever that was ahead of can be taken back.
  const cold = shown.filter((work) => work.full || hidesFrom(work) || work.feed === undefined || work.feed.deltasFloor > work.since)
  const after = cold.map((work) => ({
    roomNid: work.roomNid,
    after: work.full ? timelineStart(work) : Math.min(work.since, timelineStart(work)),
  }))
  const deltas = new Map<number, RoomWork['deltas'][number][]>()
  for (const row of await deps.reader.states.deltasAfter(after)) {
    const list = deltas.get(row.roomNid)
    if (list === undefined) deltas.set(row.roomNid, [row])
    else list.push(row)
  }
  for (const work of cold) work.deltas = deltas.get(work.roomNid) ?? []
  await hideUnseen(shown.filter(hidesFrom), scope, current, deps)
  if (large) await turn()
  const taking = takeState(works, scope, current, deps)
  if (taking !== undefined) await taking
  if (large) await turn()
}

/** Takes away what the user was not meant to see of stretches that reach beyond the membership. */
async function hideUnseen(
  works: readonly RoomWork[],
  scope: SyncScope,
  current: ReadonlyMap<number, CurrentState>,
  deps: HydrateDeps,
): Promise<void> {
  if (works.length === 0) return
  const histories = new Map<RoomWork, RoomHistory>()
  const nids = new Set<number>()
  for (const work of works) {
    const state = current.get(work.roomNid)?.state ?? new StateMap<number>()
    const deltas = work.deltas
    const history: RoomHistory = {
      visibility: {
        current: state.get('m.room.history_visibility', ''),
        deltas: deltas.filter((one) => one.type === 'm.room.history_visibility' && one.stateKey === ''),
      },
      membership: {
        current: state.get('m.room.member', scope.userId),
        deltas: deltas.filter((one) => one.type === 'm.room.member' && one.stateKey === scope.userId),
      },
    }
    histories.set(work, history)
    for (const key of [history.visibility, history.membership]) {
      if (key.current !== undefined) nids.add(key.current)
      for (const delta of key.deltas) if (delta.prevEventNid !== undefined) nids.add(delta.prevEventNid)
    }
  }
  const events = await deps.store.load(nids)
  for (const [work, history] of histories) {
    const sees = sightOf(work, history, events, scope.userId)
    work.sees = sees
    work.timeline = work.timeline.filter(({ facts }) => sees(facts))
  }
}

function takeState(
  works: readonly RoomWork[],
  scope: SyncScope,
  current: ReadonlyMap<number, CurrentState>,
  deps: HydrateDeps,
): Promise<void> | undefined {
  const wanted = new Map<RoomWork, number[]>()
  const missing = new Set<number>()
  for (const work of works) {
    const nids =
      work.section === 'invite' || work.section === 'knock' || work.memberOnly
        ? strippedNids(work, current.get(work.roomNid)?.state)
        : stateEventNids(work, current.get(work.roomNid)?.state, scope, deps.lazy)
    if (nids.length === 0) continue
    wanted.set(work, nids)
    for (const nid of nids) missing.add(nid)
  }
  return missing.size === 0 ? undefined : placeState(wanted, missing, scope, deps)
}

async function placeState(
  wanted: ReadonlyMap<RoomWork, readonly number[]>,
  nids: ReadonlySet<number>,
  scope: SyncScope,
  deps: HydrateDeps,
): Promise<void> {
  const events = await deps.store.load(nids)
  const filter = scope.filter.room.state
  for (const [work, list] of wanted) {
    const found = list.map((nid) => events.get(nid)).filter((event) => event !== undefined)
    if (work.section === 'invite' || work.section === 'knock') work.state = found
    else if (work.memberOnly) work.timeline = found
    else {
      work.state = filter.allowsAll
        ? found
        : found.filter(({ facts, content }) => filter.matches({ type: facts.type, sender: facts.sender, roomId: work.roomId, content }))
    }
  }
}

function loadReceipts(works: readonly RoomWork[], scope: SyncScope, deps: HydrateDeps): Promise<void> | undefined {
  const filter = scope.filter.room.ephemeral
  if (!filter.matchesType('m.receipt')) return undefined
  const cold: RoomWork[] = []
  for (const work of works) {
    const since = work.receiptsSince
    if (since === undefined || !filter.matchesRoom(work.roomId)) continue
    if (work.feed === undefined || work.feed.receiptsFloor > since) cold.push(work)
    else {
      work.receipts = work.feed.receipts.filter(
        (one) =>
          one.position > since &&
          one.position <= scope.now.receipts &&
          (one.receiptType !== 'm.read.private' || one.userId === scope.userId),
      )
    }
  }
  return cold.length === 0 ? undefined : readReceipts(cold, scope, deps)
}

async function readReceipts(works: readonly RoomWork[], scope: SyncScope, deps: HydrateDeps): Promise<void> {
  const rooms = works.map((work) => ({ roomNid: work.roomNid, since: work.receiptsSince ?? 0 }))
  const found = new Map<number, Receipt[]>()
  for (const row of await deps.reader.receipts(rooms, scope.now.receipts, scope.userId, MAX_RECEIPTS)) {
    const list = found.get(row.roomNid)
    if (list === undefined) found.set(row.roomNid, [row])
    else list.push(row)
  }
  for (const work of works) work.receipts = found.get(work.roomNid) ?? []
}

function completeEvents(works: readonly RoomWork[], deps: HydrateDeps): Promise<void> | undefined {
  const incomplete: TimelineEvent[] = []
  for (const work of works) {
    for (const event of work.timeline) if (!event.complete) incomplete.push(event)
    for (const event of work.state) if (!event.complete) incomplete.push(event)
  }
  return incomplete.length === 0 ? undefined : deps.store.complete(incomplete)
}
