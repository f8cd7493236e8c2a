import type { AuthEventView, AuthResult, StateEventView } from './auth-view.ts'
import { isJsonObject, type JsonObject, own } from './json.ts'
import { checkPowerLevelsContent, LEVEL_PROPERTIES, readLevel, readLevels, roomCreators } from './power-levels.ts'
import type { RoomVersion } from './room-version.ts'
import { ALLOWED, reject } from './verdict.ts'

/**
 * The rules for a new `m.room.power_levels` event.
 *
 * Spec: room version 12, rule 10; 10 and 11, rule 9; 6 to 9, rule 9; 1 to 5, rule 10. Names are those of version 12.
 */
export function checkPowerLevelsChange(
  version: RoomVersion,
  event: AuthEventView,
  create: StateEventView,
  current: StateEventView | undefined,
  senderLevel: number,
): AuthResult {
  const malformed = checkPowerLevelsContent(version, event.content)
  if (malformed !== undefined) return reject(`auth.10.${malformed.rule}`, malformed.reason)
  if (version.privilegedCreators) {
    const users = own(event.content, 'users')
    if (isJsonObject(users) && roomCreators(version, create).some((userId) => Object.hasOwn(users, userId))) {
      return reject('auth.10.4', 'users names a creator of the room')
    }
  }
  if (current === undefined) return ALLOWED
  return (
    checkProperties(version, current.content, event.content, senderLevel) ??
    checkEntries(version, 'events', current.content, event.content, senderLevel) ??
    (version.limitNotificationPowerLevels
      ? checkEntries(version, 'notifications', current.content, event.content, senderLevel)
      : undefined) ??
    checkUsers(version, event.sender, current.content, event.content, senderLevel) ??
    ALLOWED
  )
}

/** Rule 10.6. */
function checkProperties(version: RoomVersion, before: JsonObject, after: JsonObject, senderLevel: number): AuthResult | undefined {
  for (const property of LEVEL_PROPERTIES) {
    const from = readLevel(own(before, property), version.powerLevelForm)
    const to = readLevel(own(after, property), version.powerLevelForm)
    if (from === to) continue
    if (from !== undefined && from > senderLevel) return reject('auth.10.6.1', `${property} is above the sender's level`)
    if (to !== undefined && to > senderLevel) return reject('auth.10.6.2', `${property} would be above the sender's level`)
  }
  return undefined
}

/** Rules 10.7 and 10.8. */
function checkEntries(
  version: RoomVersion,
  property: 'events' | 'notifications',
  before: JsonObject,
  after: JsonObject,
  senderLevel: number,
): AuthResult | undefined {
  for (const [key, from, to] of changes(version, property, before, after)) {
    if (from !== undefined && from > senderLevel) return reject('auth.10.7', `${property} of ${key} is above the sender's level`)
    if (to !== undefined && to > senderLevel) return reject('auth.10.8', `${property} of ${key} would be above the sender's level`)
  }
  return undefined
}

/** Rules 10.9 and 10.10. */
function checkUsers(
  version: RoomVersion,
  sender: string,
  before: JsonObject,
  after: JsonObject,
  senderLevel: number,
): AuthResult | undefined {
  for (const [userId, from, to] of changes(version, 'users', before, after)) {
    if (from !== undefined && userId !== sender && from >= senderLevel) {
      return reject('auth.10.9', `the sender may not change the level of ${userId}`)
    }
    if (to !== undefined && to > senderLevel) return reject('auth.10.10', `the level of ${userId} would be above the sender's`)
  }
  return undefined
}

/** The entries of a map of levels that were added, changed or removed. */
function* changes(
  version: RoomVersion,
  property: string,
  before: JsonObject,
  after: JsonObject,
): Generator<[key: string, from: number | undefined, to: number | undefined]> {
  const from = readLevels(own(before, property), version.powerLevelForm)
  const to = readLevels(own(after, property), version.powerLevelForm)
  for (const [key, level] of from) {
    if (to.get(key) !== level) yield [key, level, to.get(key)]
  }
  for (const [key, level] of to) {
    if (!from.has(key)) yield [key, undefined, level]
  }
}
