import { type JsonObject, own } from './json.ts'

/** Who may see an event. Spec: client-server API, "Room History Visibility". */
export type HistoryVisibility = 'world_readable' | 'shared' | 'invited' | 'joined'

/** What decides whether a user sees an event: the state around the event, and the user's way since. */
export interface VisibilityQuestion {
  readonly type: string
  readonly stateKey?: string | undefined
  readonly userId: string
  /** Of the state before the event. */
  readonly visibilityBefore: HistoryVisibility
  /** Of the state after the event; equal to the one before but for a history visibility event. */
  readonly visibilityAfter: HistoryVisibility
  /** The user's membership in the state before the event. */
  readonly membershipBefore: string | undefined
  /** The user's membership in the state after the event; equal to the one before but for the user's own member event. */
  readonly membershipAfter: string | undefined
  /** The user is in the room now, or was at some moment after the event. */
  readonly joinedSince: boolean
}

/**
 * The visibility an `m.room.history_visibility` event sets; `shared` without one, or with a value not understood.
 * Spec: client-server API, "Room History Visibility", "Server behaviour".
 */
export function readHistoryVisibility(content: JsonObject | undefined): HistoryVisibility {
  const value = content && own(content, 'history_visibility')
  return value === 'world_readable' || value === 'invited' || value === 'joined' ? value : 'shared'
}

/**
 * The one rule for who may see an event. Events since a user left are refused by it too: at them the membership is `leave`, and
 * nothing was joined since.
 *
 * Spec: client-server API, "Room History Visibility", "Server behaviour".
 */
export function isEventVisible(question: VisibilityQuestion): boolean {
  const { type, stateKey, userId, visibilityBefore, visibilityAfter, membershipBefore, membershipAfter, joinedSince } = question
  const visibilities = type === 'm.room.history_visibility' && stateKey === '' ? [visibilityBefore, visibilityAfter] : [visibilityBefore]
  const memberships = type === 'm.room.member' && stateKey === userId ? [membershipBefore, membershipAfter] : [membershipBefore]
  return visibilities.some((visibility) => memberships.some((membership) => isVisibleAs(visibility, membership, joinedSince)))
}

/** The rules 1 to 5 for one visibility and one membership. Spec: client-server API, "Room History Visibility". */
export function isVisibleAs(visibility: HistoryVisibility, membership: string | undefined, joinedSince: boolean): boolean {
  if (visibility === 'world_readable') return true
  if (membership === 'join') return true
  if (visibility === 'shared' && joinedSince) return true
  return visibility === 'invited' && membership === 'invite'
}

/**
 * Whether a server in the room may have an event unredacted: whether any of its users may see it. The memberships are those of
 * the server's users in the state at the event.
 *
 * Spec: client-server API, "Room History Visibility"; server-server API, "Backfilling and retrieving missing events".
 */
export function isEventVisibleToServer(visibility: HistoryVisibility, memberships: Iterable<string | undefined>): boolean {
  // A server that asks has or had a user in the room, who may see all of a shared history.
  if (visibility === 'world_readable' || visibility === 'shared') return true
  for (const membership of memberships) {
    if (isVisibleAs(visibility, membership, false)) return true
  }
  return false
}
