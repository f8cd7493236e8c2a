import { isJsonObject, type JsonObject, own, ownArray, ownString, readHistoryVisibility } from '@weft/matrix'

/** The state that a directory entry is made of, all with the empty state key. */
export const DIRECTORY_TYPES: readonly string[] = [
  'm.room.create',
  'm.room.name',
  'm.room.topic',
  'm.room.avatar',
  'm.room.canonical_alias',
  'm.room.join_rules',
  'm.room.guest_access',
  'm.room.history_visibility',
]

const CHANGING = new Set([...DIRECTORY_TYPES, 'm.room.member'])

/** Whether state of this type may change an entry: joined members are counted. */
export function changesDirectory(type: string): boolean {
  return CHANGING.has(type)
}

/** Characters of each that are listed: a name may be as long as an event. */
const MAX_NAME = 500
const MAX_TOPIC = 4000
const MAX_OTHER = 500

/**
 * What the room directory says of a room. State of any shape makes an entry; what is no string is left out (R30).
 * Spec: client-server API, publicRooms, PublishedRoomsChunk.
 * @param content the content of the state at a type and the empty state key
 */
export function directoryEntry(
  room: { readonly roomId: string; readonly joinedMembers: number },
  content: (type: string) => JsonObject | undefined,
): { entry: JsonObject; roomType: string | undefined; search: string } {
  const text = (type: string, key: string, most: number) => {
    const value = content(type)
    return shortened(value && ownString(value, key), most)
  }
  const name = text('m.room.name', 'name', MAX_NAME)
  const topic = shortened(plainTopic(content('m.room.topic') ?? {}), MAX_TOPIC)
  const alias = text('m.room.canonical_alias', 'alias', MAX_OTHER)
  const avatar = text('m.room.avatar', 'url', MAX_OTHER)
  const roomType = text('m.room.create', 'type', MAX_OTHER)
  const entry: JsonObject = {
    room_id: room.roomId,
    num_joined_members: room.joinedMembers,
    world_readable: readHistoryVisibility(content('m.room.history_visibility')) === 'world_readable',
    guest_can_join: text('m.room.guest_access', 'guest_access', MAX_OTHER) === 'can_join',
    join_rule: text('m.room.join_rules', 'join_rule', MAX_OTHER) ?? 'invite',
  }
  if (name !== undefined) entry.name = name
  if (topic !== undefined) entry.topic = topic
  if (alias !== undefined) entry.canonical_alias = alias
  if (avatar !== undefined) entry.avatar_url = avatar
  if (roomType !== undefined) entry.room_type = roomType
  const search = [name, topic, alias].filter((part) => part !== undefined).join('\n')
  return { entry, roomType, search: search.toLowerCase() }
}

/** The plain text of a topic. Spec: client-server API, "m.room.topic"; its `topic` is for who does not know the rest. */
function plainTopic(content: JsonObject): string | undefined {
  const block = own(content, 'm.topic')
  const texts = isJsonObject(block) ? (ownArray(block, 'm.text') ?? []) : []
  for (const part of texts) {
    if (!isJsonObject(part)) continue
    const type = own(part, 'mimetype') ?? 'text/plain'
    if (type === 'text/plain' && ownString(part, 'body') !== undefined) return ownString(part, 'body')
  }
  return ownString(content, 'topic')
}

/** A text that says something, cut where it is too long, and not within a character. */
function shortened(text: string | undefined, most: number): string | undefined {
  if (text === undefined || text === '') return undefined
  if (text.length <= most) return text
  const cut = text.slice(0, most)
  return cut.isWellFormed() ? cut : cut.slice(0, -1)
}
