import {
  isJsonObject,
  type JsonObject,
  LEVEL_PROPERTIES,
  own,
  ownObject,
  type PowerLevelForm,
  parseUserId,
  type RoomVersion,
  readLevel,
  readLevels,
  setOwn,
} from '@weft/matrix'

const LEVEL_MAPS = ['users', 'events', 'notifications'] as const

/**
 * The power levels of a room as its replacement is to have them: numbers where strings were, nobody listed who is a creator with
 * infinite power there, the tombstone above `state_default` where only creators are to send it, and creators of the old room with
 * the highest level where the new one has no infinite power.
 *
 * Spec: room versions 10 and 12; client-server API, createRoom, on `m.room.tombstone`.
 */
export function upgradedLevels(
  content: JsonObject,
  rooms: {
    readonly from: RoomVersion
    readonly to: RoomVersion
    readonly oldCreators: readonly string[]
    readonly newCreators: readonly string[]
  },
): JsonObject {
  const { from, to } = rooms
  const upgraded = readableLevels(content, from.powerLevelForm)
  const users = ownObject(upgraded, 'users') ?? {}
  const events = ownObject(upgraded, 'events') ?? {}
  upgraded.users = users
  upgraded.events = events
  if (to.privilegedCreators) {
    for (const userId of rooms.newCreators) delete users[userId]
    const stateDefault = own(upgraded, 'state_default')
    const floor = typeof stateDefault === 'number' ? stateDefault : 50
    const tombstone = own(events, 'm.room.tombstone')
    if (typeof tombstone !== 'number' || tombstone <= floor) setOwn(events, 'm.room.tombstone', Math.max(150, floor + 1))
  } else if (from.privilegedCreators) {
    const highest = highestLevel(upgraded)
    for (const userId of rooms.oldCreators) setOwn(users, userId, highest)
  }
  return upgraded
}

/** The levels that end an old room: nobody without power sends to it or invites. Spec: client-server API, "Room Upgrades", 6. */
export function endedLevels(content: JsonObject, version: RoomVersion): JsonObject | undefined {
  const level = (property: string) => readLevel(own(content, property), version.powerLevelForm)
  const floor = Math.max(50, (level('users_default') ?? 0) + 1)
  const events = Math.max(floor, level('events_default') ?? 0)
  const invite = Math.max(floor, level('invite') ?? 0)
  if (level('events_default') === events && level('invite') === invite) return undefined
  return { ...content, events_default: events, invite }
}

/** The levels with which a user may set everything that a new room is to have, where `content` does not suffice for it. */
export function raisedLevels(content: JsonObject, userId: string): JsonObject | undefined {
  const users = ownObject(content, 'users') ?? {}
  const usersDefault = own(content, 'users_default')
  const mine = own(users, userId) ?? (typeof usersDefault === 'number' ? usersDefault : 0)
  const highest = highestLevel(content)
  if (typeof mine === 'number' && mine >= highest) return undefined
  const raised: JsonObject = { ...users }
  setOwn(raised, userId, highest)
  return { ...content, users: raised }
}

/** Content with the levels that can be read, as numbers; whatever else it has stays. */
function readableLevels(content: JsonObject, form: PowerLevelForm): JsonObject {
  const readable: JsonObject = { ...content }
  for (const property of LEVEL_PROPERTIES) {
    const level = readLevel(own(content, property), form)
    if (level === undefined) delete readable[property]
    else readable[property] = level
  }
  for (const property of LEVEL_MAPS) {
    if (!isJsonObject(own(content, property))) {
      delete readable[property]
      continue
    }
    const levels: JsonObject = {}
    for (const [key, level] of readLevels(own(content, property), form)) {
      if (property !== 'users' || parseUserId(key) !== undefined) setOwn(levels, key, level)
    }
    readable[property] = levels
  }
  return readable
}

function highestLevel(content: JsonObject): number {
  let highest = 100
  const look = (value: unknown) => {
    if (typeof value === 'number') highest = Math.max(highest, value)
  }
  for (const property of LEVEL_PROPERTIES) look(own(content, property))
  for (const property of LEVEL_MAPS) for (const value of Object.values(ownObject(content, property) ?? {})) look(value)
  return highest
}
