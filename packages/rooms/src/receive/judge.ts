import {
  ALLOWED,
  type AuthEventView,
  type AuthStateView,
  authStateKeys,
  checkAuthEventsOfPdu,
  checkEventAuth,
  type RoomVersion,
  type StateEventView,
  StateMap,
  type Verdict,
} from '@weft/matrix'
import type { KnownEvent } from './known-event.ts'

/** The keys of a state that event auth reads to judge this event. */
export function keysJudgedBy(version: RoomVersion, event: AuthEventView): Array<readonly [type: string, stateKey: string]> {
  const keys: Array<readonly [string, string]> = authStateKeys(version, event)
  return version.createNotInAuthEvents ? [['m.room.create', ''], ...keys] : keys
}

/**
 * Whether the event is allowed by the auth events that it names.
 *
 * Spec: server-server API, "Checks performed on receipt of a PDU", 4; room versions, "Authorisation rules".
 * @param create the room's create event, which from room version 12 on no auth event is
 */
export function allowedByAuthEvents(
  version: RoomVersion,
  event: AuthEventView,
  authEvents: readonly KnownEvent[],
  create: StateEventView | undefined,
): Verdict {
  const views = authEvents.map((known) => known.view)
  const selected = checkAuthEventsOfPdu(version, event, views)
  if (!selected.ok) return selected
  const state = new StateMap()
  for (const view of views) if (view.stateKey !== undefined) state.set(view.type, view.stateKey, { ...view, stateKey: view.stateKey })
  if (version.createNotInAuthEvents && create !== undefined) state.set('m.room.create', '', create)
  return checkEventAuth(version, event, state)
}

/** Whether the event is allowed by a state. Spec: server-server API, "Checks performed on receipt of a PDU", 5 and 6. */
export function allowedByState(version: RoomVersion, event: AuthEventView, state: AuthStateView): Verdict {
  return event.type === 'm.room.create' ? ALLOWED : checkEventAuth(version, event, state)
}
