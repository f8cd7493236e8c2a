import type { AuthEventView, AuthResult, StateEventView } from './auth-view.ts'
import { own, ownObject, ownString } from './json.ts'
import type { RoomVersion } from './room-version.ts'
import { ALLOWED, reject } from './verdict.ts'

/** The parts of an event that choose its auth events. */
export type SelectingEvent = Pick<AuthEventView, 'type' | 'stateKey' | 'sender' | 'content'>

/**
 * The state that an event's `auth_events` are taken from: each key once, those that the state has become the auth events.
 *
 * Spec: server-server API, "Auth events selection".
 */
export function authStateKeys(version: RoomVersion, event: SelectingEvent): Array<[type: string, stateKey: string]> {
  if (event.type === 'm.room.create') return []
  const keys: Array<[string, string]> = []
  if (!version.createNotInAuthEvents) keys.push(['m.room.create', ''])
  keys.push(['m.room.power_levels', ''], ['m.room.member', event.sender])
  if (event.type !== 'm.room.member' || event.stateKey === undefined) return keys

  addMember(keys, event.stateKey)
  const membership = own(event.content, 'membership')
  if (membership === 'join' || membership === 'invite' || membership === 'knock') keys.push(['m.room.join_rules', ''])
  if (membership === 'invite') {
    const token = thirdPartyInviteToken(event)
    if (token !== undefined) keys.push(['m.room.third_party_invite', token])
  }
  if (membership === 'join' && version.restrictedJoin) {
    const authoriser = ownString(event.content, 'join_authorised_via_users_server')
    if (authoriser !== undefined) addMember(keys, authoriser)
  }
  return keys
}

/**
 * Checks the auth events an event names, on receipt: no key twice, nothing that the selection does not choose, nothing rejected,
 * all of the same room (MSC4307), a create event among them before room version 12 and none since.
 *
 * Spec: room versions, "Authorisation rules", "Considering the event's auth_events".
 * @param authEvents every event of its `auth_events`; those that could not be had are the caller's matter. A message event
 * among them comes with a `stateKey` of `undefined`.
 */
export function checkAuthEventsOfPdu(
  version: RoomVersion,
  event: AuthEventView,
  authEvents: ReadonlyArray<Omit<StateEventView, 'stateKey'> & { readonly stateKey?: string | undefined }>,
): AuthResult {
  const rule = version.createNotInAuthEvents ? 'auth.3' : 'auth.2'
  const selection = authStateKeys(version, event)
  // At most ten auth events and six selected keys: comparing beats building maps.
  for (const [index, authEvent] of authEvents.entries()) {
    const { type, stateKey } = authEvent
    if (authEvents.slice(0, index).some((other) => other.type === type && other.stateKey === stateKey)) {
      return reject(`${rule}.1`, `auth_events has two events for ${type}`)
    }
    if (!selection.some(([chosenType, chosenKey]) => chosenType === type && chosenKey === stateKey)) {
      return reject(`${rule}.2`, `auth_events has a ${type} event that does not belong there`)
    }
    if (authEvent.rejected === true) return reject(`${rule}.3`, `auth_events has a rejected ${type} event`)
    if (authEvent.roomId !== event.roomId) {
      return reject(`${rule}.5`, `auth_events has a ${type} event of another room`)
    }
  }
  if (event.type === 'm.room.create' || version.createNotInAuthEvents) return ALLOWED
  return authEvents.some(({ type }) => type === 'm.room.create') ? ALLOWED : reject(`${rule}.4`, 'auth_events has no create event')
}

/** The token by which a third-party invite finds its event in the state. Spec: server-server API, "Auth events selection". */
function thirdPartyInviteToken(event: Pick<AuthEventView, 'content'>): string | undefined {
  const invite = ownObject(event.content, 'third_party_invite')
  const signed = invite && ownObject(invite, 'signed')
  return signed && ownString(signed, 'token')
}

function addMember(keys: Array<[string, string]>, userId: string): void {
  if (!keys.some(([type, stateKey]) => type === 'm.room.member' && stateKey === userId)) keys.push(['m.room.member', userId])
}
