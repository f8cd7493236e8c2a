import { MatrixError, type RoomVersion, roomVersions } from '@weft/matrix'

/**
 * The version of a stored room.
 * @throws MatrixError M_INCOMPATIBLE_ROOM_VERSION for one that a later release of this server knew. Spec: client-server API, "Other error codes"
 */
export function knownVersion({ roomVersion }: { readonly roomVersion: string }): RoomVersion {
  const version = roomVersions.get(roomVersion)
  if (version !== undefined) return version
  throw new MatrixError('M_INCOMPATIBLE_ROOM_VERSION', `This server does not support room version ${roomVersion}`, {
    fields: { room_version: roomVersion },
  })
}
