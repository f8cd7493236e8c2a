import type { StateEventView } from './auth-view.ts'
import { parseUserId } from './ids.ts'
import { isJsonObject, type JsonObject, type JsonValue, own, ownArray, ownObject, ownString, RawNumber } from './json.ts'
import type { PowerLevelForm, RoomVersion } from './room-version.ts'

/** The properties of `m.room.power_levels` that are one level each. */
export const LEVEL_PROPERTIES = ['users_default', 'events_default', 'state_default', 'ban', 'redact', 'kick', 'invite'] as const
/** One of {@link LEVEL_PROPERTIES}. */
export type LevelProperty = (typeof LEVEL_PROPERTIES)[number]

/** The levels of a room, read once from its power levels event and its create event, and kept with the room's head. */
export interface PowerLevels {
  /** False when the room has no power levels event, so that defaults hold. */
  readonly hasEvent: boolean
  readonly usersDefault: number
  readonly eventsDefault: number
  readonly stateDefault: number
  readonly ban: number
  readonly kick: number
  readonly redact: number
  readonly invite: number
  /** The user's level; `Infinity` for creators from room version 12 on. */
  userLevel(userId: string): number
  /** The required power level of an event type. */
  eventLevel(type: string, isState: boolean): number
  /** The level needed to notify, for example, the whole `room`. */
  notificationLevel(key: string): number
  isCreator(userId: string): boolean
}

/**
 * Reads the power levels of a room.
 *
 * Spec: client-server API, "m.room.power_levels", for the defaults; room version 12, "Authorisation rules", for creators;
 * room versions 1 and 6, "Deprecated event content schemas", for strings and floats.
 * @param create the room's create event
 * @param event the room's power levels event, if it has one
 */
export function parsePowerLevels(version: RoomVersion, create: StateEventView, event?: StateEventView): PowerLevels {
  const form = version.powerLevelForm
  const content = event?.content ?? {}
  const level = (property: LevelProperty, fallback: number) => readLevel(own(content, property), form) ?? fallback
  const users = readLevels(own(content, 'users'), form)
  const events = readLevels(own(content, 'events'), form)
  const notifications = readLevels(own(content, 'notifications'), form)
  const creators = new Set(roomCreators(version, create))
  const usersDefault = level('users_default', 0)
  const eventsDefault = level('events_default', 0)
  const stateDefault = level('state_default', 50)
  const privileged = version.privilegedCreators
  return {
    hasEvent: event !== undefined,
    usersDefault,
    eventsDefault,
    stateDefault,
    ban: level('ban', 50),
    kick: level('kick', 50),
    redact: level('redact', 50),
    invite: level('invite', 0),
    userLevel(userId) {
      if (privileged && creators.has(userId)) return Number.POSITIVE_INFINITY
      // Before version 12 a creator has 100, but only while there is no power levels event.
      if (event === undefined) return creators.has(userId) ? 100 : 0
      return users.get(userId) ?? usersDefault
    },
    eventLevel: (type, isState) => events.get(type) ?? (isState ? stateDefault : eventsDefault),
    notificationLevel: (key) => notifications.get(key) ?? 50,
    isCreator: (userId) => creators.has(userId),
  }
}

/**
 * The creators of a room: the sender of its create event, before room version 11 `content.creator`, and from version 12 on
 * the `additional_creators`.
 *
 * Spec: room versions 1, 11 and 12, "Authorisation rules".
 */
export function roomCreators(version: RoomVersion, create: Pick<StateEventView, 'sender' | 'content'>): string[] {
  if (!version.implicitCreator) {
    const creator = ownString(create.content, 'creator')
    return creator === undefined ? [] : [creator]
  }
  if (!version.privilegedCreators) return [create.sender]
  const additional = ownArray(create.content, 'additional_creators') ?? []
  return [create.sender, ...additional.filter((userId): userId is string => typeof userId === 'string')]
}

// A whole number with an optional sign, between white space. Spec: "m.room.power_levels events accept values as strings".
const LEVEL_STRING = /^\s*[+-]?\d+\s*$/

/**
 * A level in one of the forms its room version allows; `undefined` for anything else.
 * Spec: room versions 1 and 6, "Deprecated event content schemas"; room version 10, rule 9.1.
 */
export function readLevel(value: JsonValue | undefined, form: PowerLevelForm): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  if (form === 'integer') return undefined
  if (typeof value === 'string') return LEVEL_STRING.test(value) ? finite(Number(value)) : undefined
  if (form === 'float' && value instanceof RawNumber) return finite(Math.trunc(Number(value.source)))
  return undefined
}

/** The readable levels of a map such as `users`; a map, so that `constructor` is a name like any other. */
export function readLevels(value: JsonValue | undefined, form: PowerLevelForm): Map<string, number> {
  const levels = new Map<string, number>()
  if (!isJsonObject(value)) return levels
  for (const key of Object.keys(value)) {
    const level = readLevel(value[key], form)
    if (level !== undefined) levels.set(key, level)
  }
  return levels
}

/**
 * Why the content of a power levels event is refused by its form alone, if it is: rules 9.1 to 9.3 of room version 10 (10.1 to
 * 10.3 of 12), rule 10.1 of the versions before. Serves both event auth and the check of what a client sends.
 *
 * Spec: room versions, "Authorisation rules", `m.room.power_levels`.
 * @returns the rule's name and a sentence, or `undefined`
 */
export function checkPowerLevelsContent(version: RoomVersion, content: JsonObject): { rule: string; reason: string } | undefined {
  const form = version.powerLevelForm
  if (form === 'integer') {
    for (const property of LEVEL_PROPERTIES) {
      const value = own(content, property)
      if (value !== undefined && readLevel(value, form) === undefined) return { rule: 'levels', reason: `${property} is not an integer` }
    }
    for (const property of ['events', 'notifications'] as const) {
      const value = own(content, property)
      if (value !== undefined && !areLevels(value, form)) return { rule: 'maps', reason: `${property} is not an object of integers` }
    }
  } else {
    // NOTSPEC: these versions' rules look at `users` only. Values of other properties beyond a double are refused as the text on
    // floats says; unreadable ones are read as absent.
    for (const property of LEVEL_PROPERTIES) {
      if (isBeyondDouble(own(content, property))) return { rule: 'levels', reason: `${property} is beyond a double` }
    }
    for (const property of ['events', 'notifications'] as const) {
      const values = ownObject(content, property)
      if (values !== undefined && Object.keys(values).some((key) => isBeyondDouble(values[key]))) {
        return { rule: 'maps', reason: `a value of ${property} is beyond a double` }
      }
    }
  }
  const users = own(content, 'users')
  if (users === undefined) return undefined
  if (!areLevels(users, form)) return { rule: 'users', reason: 'users is not an object of integers' }
  const bad = Object.keys(users as JsonObject).find((key) => parseUserId(key) === undefined)
  return bad === undefined ? undefined : { rule: 'users', reason: 'users has a key that is no user id' }
}

function areLevels(value: JsonValue, form: PowerLevelForm): boolean {
  return isJsonObject(value) && Object.keys(value).every((key) => readLevel(value[key], form) !== undefined)
}

function isBeyondDouble(value: JsonValue | undefined): boolean {
  return value instanceof RawNumber && !Number.isFinite(Number(value.source))
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value + 0 : undefined
}
