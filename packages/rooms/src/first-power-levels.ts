import { checkPowerLevelsContent, isJsonObject, type JsonObject, MatrixError, own, ownArray, type RoomVersion, setOwn } from '@weft/matrix'
import type { CreateRoomRequest } from './create-room.ts'

/**
 * The content of a room's first power levels event.
 * Spec: client-server API, createRoom; room version 12 for what creators may not be listed in.
 * @throws MatrixError M_BAD_JSON for levels that the room version cannot have, M_INVALID_PARAM for a level given to a creator
 */
export function firstPowerLevels(room: {
  readonly version: RoomVersion
  readonly creator: string
  readonly creationContent: JsonObject
  readonly request: Pick<CreateRoomRequest, 'visibility' | 'preset' | 'power_level_content_override'>
  /** Who is to have the creator's power. */
  readonly trusted: readonly string[]
}): JsonObject {
  const { version, creator, request } = room
  const users: JsonObject = {}
  if (!version.privilegedCreators) for (const userId of [creator, ...room.trusted]) setOwn(users, userId, 100)
  const content: JsonObject = {
    users,
    users_default: 0,
    events: {
      'm.room.name': 50,
      'm.room.power_levels': 100,
      'm.room.history_visibility': 100,
      'm.room.canonical_alias': 50,
      'm.room.avatar': 50,
      // From version 12 on, ending a room is the creators' alone.
      'm.room.tombstone': version.privilegedCreators ? 150 : 100,
      'm.room.server_acl': 100,
      'm.room.encryption': 100,
    },
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    invite: request.visibility === 'public' || request.preset === 'public_chat' ? 50 : 0,
    historical: 100,
  }
  for (const [key, value] of Object.entries(request.power_level_content_override ?? {})) setOwn(content, key, value)
  const malformed = checkPowerLevelsContent(version, content)
  if (malformed !== undefined) throw new MatrixError('M_BAD_JSON', `power_level_content_override: ${malformed.reason}`)
  const listed = own(content, 'users')
  if (version.privilegedCreators && isJsonObject(listed)) {
    const creators = [creator, ...(ownArray(room.creationContent, 'additional_creators') ?? [])]
    if (creators.some((id) => typeof id === 'string' && Object.hasOwn(listed, id))) {
      throw new MatrixError('M_INVALID_PARAM', 'Creators cannot be listed in the power levels of this room version')
    }
  }
  return content
}
