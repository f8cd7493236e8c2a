import type { AuthEventView, AuthResult, AuthStateView, StateEventView } from './auth-view.ts'
import { createEventIdOf } from './event.ts'
import { isUserId, serverNameOf } from './ids.ts'
import { own } from './json.ts'
import { checkMembership, membershipOf } from './membership-auth.ts'
import { type PowerLevels, parsePowerLevels } from './power-levels.ts'
import { checkPowerLevelsChange } from './power-levels-auth.ts'
import { type RoomVersion, roomVersions } from './room-version.ts'
import { ALLOWED, reject } from './verdict.ts'

/**
 * Judges an event by a state, by the authorisation rules of its room version. The same rules serve a new event, an event's
 * auth events, the state before it, the current state, and state resolution.
 *
 * Not judged here: the list of auth events (`checkAuthEventsOfPdu`) and signatures, the authorising server's of a restricted
 * join included (`requiredSigners`).
 *
 * Rule names follow room version 12; a place that other versions number otherwise keeps that name.
 * Spec: room versions 1 to 12, "Authorisation rules".
 */
export function checkEventAuth(version: RoomVersion, event: AuthEventView, state: AuthStateView): AuthResult {
  if (event.type === 'm.room.create') return checkCreate(version, event)

  const create = state.get('m.room.create', '')
  const room = checkRoom(version, event, create)
  if (!room.ok || create === undefined) return room

  if (own(create.content, 'm.federate') === false && serverNameOf(event.sender) !== serverNameOf(create.sender)) {
    return reject('auth.4', 'the room does not federate')
  }
  if (version.aliasesAuthRule && event.type === 'm.room.aliases') return checkAliases(event)

  const levels = state.powerLevels ?? parsePowerLevels(version, create, state.get('m.room.power_levels', ''))
  if (event.type === 'm.room.member') return checkMembership(version, event, state, create, levels)

  if (membershipOf(state, event.sender) !== 'join') return reject('auth.6', 'the sender is not in the room')
  const senderLevel = levels.userLevel(event.sender)
  if (event.type === 'm.room.third_party_invite') {
    return senderLevel >= levels.invite ? ALLOWED : reject('auth.7', 'the sender may not invite')
  }
  const isState = event.stateKey !== undefined
  if (levels.eventLevel(event.type, isState) > senderLevel) {
    return reject('auth.8', `the sender's power level does not suffice to send ${event.type}`)
  }
  if (event.stateKey?.startsWith('@') && event.stateKey !== event.sender) {
    return reject('auth.9', 'the state key is the id of another user')
  }
  if (event.type === 'm.room.power_levels') {
    return checkPowerLevelsChange(version, event, create, state.get('m.room.power_levels', ''), senderLevel)
  }
  if (version.redactionInAuthRules && event.type === 'm.room.redaction') return checkRedaction(event, levels)
  return ALLOWED
}

/**
 * True when a redaction takes effect: its sender has the redact level, or is of the same server as the redacted event's sender.
 * Room versions 1 and 2 have this as an auth rule over ids instead, and every redaction that passed it takes effect.
 *
 * Spec: room version 3, "Handling redactions".
 */
export function redactionApplies(
  version: RoomVersion,
  redaction: { readonly sender: string },
  original: { readonly sender: string },
  levels: PowerLevels,
): boolean {
  if (version.redactionInAuthRules) return true
  return levels.userLevel(redaction.sender) >= levels.redact || serverNameOf(redaction.sender) === serverNameOf(original.sender)
}

function checkCreate(version: RoomVersion, event: AuthEventView): AuthResult {
  if (event.prevEvents.length > 0) return reject('auth.1.1', 'a create event has no prev events')
  if (version.roomIdIsCreateHash) {
    if (event.roomId !== undefined) return reject('auth.1.2', 'a create event of this room version has no room_id')
  } else if (event.roomId === undefined || serverNameOf(event.roomId) !== serverNameOf(event.sender)) {
    return reject('auth.1.2', 'the room id is of another server than the sender')
  }
  const roomVersion = own(event.content, 'room_version')
  if (roomVersion !== undefined && !(typeof roomVersion === 'string' && roomVersions.has(roomVersion))) {
    return reject('auth.1.3', 'the room version is not known')
  }
  if (!version.implicitCreator && own(event.content, 'creator') === undefined) {
    return reject('auth.1.4', 'the content has no creator')
  }
  if (version.privilegedCreators) {
    const additional = own(event.content, 'additional_creators')
    if (additional !== undefined) {
      const valid = Array.isArray(additional) && additional.every((userId) => typeof userId === 'string' && isUserId(userId))
      if (!valid) return reject('auth.1.4', 'additional_creators is not a list of user ids')
    }
  }
  return ALLOWED
}

function checkRoom(version: RoomVersion, event: AuthEventView, create: StateEventView | undefined): AuthResult {
  if (create === undefined) return reject('auth.2', 'the room has no create event')
  if (!version.roomIdIsCreateHash) return ALLOWED
  const expected = event.roomId === undefined ? undefined : createEventIdOf(event.roomId)
  if (expected !== create.eventId || create.rejected === true) {
    return reject('auth.2', 'the room id is not that of an accepted create event')
  }
  return ALLOWED
}

/** Room versions 1 to 5, rule 4. */
function checkAliases(event: AuthEventView): AuthResult {
  if (event.stateKey === undefined) return reject('auth.aliases.1', 'an aliases event is a state event')
  return event.stateKey === serverNameOf(event.sender)
    ? ALLOWED
    : reject('auth.aliases.2', 'the aliases are those of another server than the sender')
}

/** Room versions 1 and 2, rule 11. */
function checkRedaction(event: AuthEventView, levels: PowerLevels): AuthResult {
  if (levels.userLevel(event.sender) >= levels.redact) return ALLOWED
  const target = event.redacts === undefined ? undefined : serverNameOf(event.redacts)
  const ownServer = event.eventId === undefined ? undefined : serverNameOf(event.eventId)
  return target !== undefined && target === ownServer
    ? ALLOWED
    : reject('auth.redaction', 'the sender may not redact events of other servers')
}
