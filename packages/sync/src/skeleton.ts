import { enteredAnew, type MembershipPath, wasIn, wayOut } from './membership-path.ts'
import { type RoomWork, roomWork, type SyncScope } from './room-work.ts'
import type { UserView, ViewRoom } from './user-view.ts'

/** What PostgreSQL said of the memberships where memory does not reach back to `since`. */
export interface ColdMemberships {
  /** How memberships changed since `since`; `undefined` where the view knows. */
  readonly changed: ReadonlyMap<number, MembershipPath & { readonly roomId: string }> | undefined
  /** The rooms that were left long ago, for `include_leave`. */
  readonly left: ReadonlyMap<number, MembershipPath & { readonly roomId: string }>
}

/** Which rooms an answer may show, and which stretch of each: without a look at any event. */
export function skeleton(view: UserView, scope: SyncScope, cold: ColdMemberships): RoomWork[] {
  const works: RoomWork[] = []
  const add = (work: RoomWork | undefined) => {
    if (work !== undefined && scope.filter.room.matchesRoom(work.roomId)) works.push(work)
  }
  if (scope.since === undefined || scope.fullState) {
    for (const entry of view.rooms.values()) add(wholeRoom(entry, scope, cold))
    for (const [roomNid, path] of cold.left) {
      if (scope.since === undefined || !view.rooms.has(roomNid)) add(leftLongAgo(roomNid, path, scope))
    }
    return works
  }
  const { since, now } = scope
  const seen = new Set<ViewRoom>()
  const consider = (entry: ViewRoom) => {
    if (seen.has(entry)) return
    seen.add(entry)
    add(changedRoom(entry, pathOf(entry, scope, cold), scope, cold.changed !== undefined))
  }
  if (cold.changed === undefined) for (const entry of view.recentEvents.after(since.events)) consider(entry)
  else {
    for (const entry of view.rooms.values()) consider(entry)
    for (const [roomNid, path] of cold.changed) {
      if (!view.rooms.has(roomNid)) add(changedUnknownRoom(roomNid, path, scope))
    }
  }
  // Receipts and typing of rooms without news; what the view has missed of receipts is asked of every room.
  const missedReceipts = since.receipts < view.floor.receipts
  const missedTyping = since.typing < view.floor.typing
  if (missedReceipts || missedTyping) for (const entry of view.rooms.values()) consider(entry)
  if (!missedReceipts) for (const entry of view.recentReceipts.after(since.receipts)) consider(entry)
  if (!missedTyping) for (const entry of view.recentTyping.after(since.typing)) consider(entry)
  if (since.accountData < view.floor.accountData) for (const entry of view.rooms.values()) consider(entry)
  else {
    for (const changed of view.accountDataAfter(since.accountData, now.accountData)) {
      const entry = changed.roomNid === undefined ? undefined : view.rooms.get(changed.roomNid)
      if (entry !== undefined) consider(entry)
    }
  }
  return works
}

/** An initial sync, or `full_state`: every room the user is in or may enter. */
function wholeRoom(entry: ViewRoom, scope: SyncScope, cold: ColdMemberships): RoomWork | undefined {
  const { since, now } = scope
  const latest = entry.at(now.events)
  if (latest.membership === 'join') {
    const path = since === undefined ? { before: 'leave', changes: [] } : pathOf(entry, scope, cold)
    return joined(entry, path, scope, true, true)
  }
  if (latest.membership === 'invite' || latest.membership === 'knock') {
    return pending(entry.room, latest.membership, latest.eventNid, latest.position, scope)
  }
  if (since === undefined) return undefined
  return changedRoom(entry, pathOf(entry, scope, cold), scope, false)
}

function changedRoom(entry: ViewRoom, path: MembershipPath, scope: SyncScope, cold: boolean): RoomWork | undefined {
  const membership = path.changes.at(-1)?.membership ?? path.before
  switch (membership) {
    case 'join':
      return joined(entry, path, scope, false, cold)
    case 'invite':
    case 'knock': {
      const change = path.changes.at(-1)
      return change && pending(entry.room, membership, change.eventNid, change.position, scope)
    }
    default:
      return path.changes.length === 0 ? undefined : gone(entry.room, entry.feed, path, scope, scope.since?.events ?? 0)
  }
}

/** A room that the view does not have: left or refused since, or entered a moment ago. */
function changedUnknownRoom(roomNid: number, path: MembershipPath & { readonly roomId: string }, scope: SyncScope): RoomWork | undefined {
  const room = { roomNid, roomId: path.roomId }
  const change = path.changes.at(-1)
  if (change === undefined) return undefined
  if (change.membership === 'invite' || change.membership === 'knock')
    return pending(room, change.membership, change.eventNid, change.position, scope)
  if (change.membership === 'join') {
    const member = { memberNid: change.eventNid, memberPosition: change.position }
    return roomWork({ ...room, section: 'join', feed: undefined, ...wholeStretch(scope), ...member })
  }
  return gone(room, undefined, path, scope, scope.since?.events ?? 0)
}

function leftLongAgo(roomNid: number, path: MembershipPath & { readonly roomId: string }, scope: SyncScope): RoomWork | undefined {
  const known = path.changes.at(-1)
  if (known === undefined || known.membership === 'join') return undefined
  return gone({ roomNid, roomId: path.roomId }, undefined, path, scope, 0)
}

function joined(entry: ViewRoom, path: MembershipPath, scope: SyncScope, whole: boolean, cold: boolean): RoomWork {
  const { roomNid, roomId } = entry.room
  const { since, now } = scope
  const latest = path.changes.at(-1) ?? entry.at(now.events)
  const anew = since === undefined || enteredAnew(path)
  const facts = { roomNid, roomId, section: 'join' as const, feed: entry.feed, memberNid: latest.eventNid, memberPosition: latest.position }
  if (anew) return roomWork({ ...facts, ...wholeStretch(scope), typing: typingOf(entry, 0) })
  const receipts = cold || entry.byReceipts.position > since.receipts || since.receipts < entry.view.floor.receipts
  return roomWork({
    ...facts,
    since: since.events,
    until: now.events,
    full: whole,
    receiptsSince: receipts ? since.receipts : undefined,
    typing: typingOf(entry, since.typing),
  })
}

function wholeStretch(scope: SyncScope) {
  return {
    since: 0,
    until: scope.now.events,
    full: true,
    newlyJoined: scope.since !== undefined,
    partlyHidden: true,
    receiptsSince: 0,
    allAccountData: true,
  }
}

/** Who types, when that changed after `since`; at first only if somebody does. */
function typingOf(entry: ViewRoom, since: number): RoomWork['typing'] {
  const typing = entry.feed?.typing
  if (typing === undefined || typing.position <= since) return undefined
  return since === 0 && typing.userIds.length === 0 ? undefined : typing
}

function pending(
  room: { readonly roomNid: number; readonly roomId: string },
  section: 'invite' | 'knock',
  memberNid: number | undefined,
  memberPosition: number,
  scope: SyncScope,
): RoomWork | undefined {
  if (memberNid === undefined) return undefined
  const { roomNid, roomId } = room
  return roomWork({ roomNid, roomId, section, feed: undefined, since: 0, until: scope.now.events, memberNid, memberPosition })
}

/** A room that was left: up to the way out, and nothing later (R29). Whoever was never in sees the refusal only. */
function gone(
  room: { readonly roomNid: number; readonly roomId: string },
  feed: RoomWork['feed'],
  path: MembershipPath,
  scope: SyncScope,
  since: number,
): RoomWork | undefined {
  const last = path.changes.at(-1)
  if (last === undefined) return undefined
  const out = wayOut(path)
  const facts = {
    roomNid: room.roomNid,
    roomId: room.roomId,
    section: 'leave' as const,
    memberNid: last.eventNid,
    memberPosition: last.position,
  }
  if (out === undefined || !wasIn(path)) {
    return last.eventNid === undefined
      ? undefined
      : roomWork({ ...facts, feed: undefined, since: last.position, until: last.position, memberOnly: true })
  }
  const anew = path.before !== 'join'
  return roomWork({
    ...facts,
    feed,
    since: scope.since === undefined ? 0 : since,
    until: out,
    full: anew || scope.fullState,
    partlyHidden: anew || path.changes.length > 1,
    newlyJoined: anew && scope.since !== undefined,
  })
}

function pathOf(entry: ViewRoom, scope: SyncScope, cold: ColdMemberships): MembershipPath {
  const { since, now } = scope
  if (cold.changed !== undefined) {
    return cold.changed.get(entry.room.roomNid) ?? { before: entry.at(now.events).membership, changes: [] }
  }
  const from = since?.events ?? 0
  return { before: entry.at(from).membership, changes: entry.between(from, now.events) }
}
