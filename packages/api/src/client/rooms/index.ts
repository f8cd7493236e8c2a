import type { AnyEndpoint } from '@weft/http'
import { ban } from './ban.ts'
import { createRoom } from './create-room.ts'
import { deleteRoomAlias } from './delete-room-alias.ts'
import { forgetRoom } from './forget-room.ts'
import { getEventContext } from './get-context.ts'
import { getOneRoomEvent } from './get-event.ts'
import { getEventByTimestamp } from './get-event-by-timestamp.ts'
import { getJoinedMembersByRoom } from './get-joined-members.ts'
import { getLocalAliases } from './get-local-aliases.ts'
import { getMembersByRoom } from './get-members.ts'
import { getRoomEvents } from './get-messages.ts'
import { getPublicRooms } from './get-public-rooms.ts'
import { getRelatingEvents } from './get-relations.ts'
import { getRelatingEventsWithRelTypeAndEventType } from './get-relations-of-event-type.ts'
import { getRelatingEventsWithRelType } from './get-relations-of-type.ts'
import { getRoomIdByAlias } from './get-room-by-alias.ts'
import { getRoomState } from './get-room-state.ts'
import { getRoomVisibilityOnDirectory } from './get-room-visibility.ts'
import { getRoomStateWithKey } from './get-state-event.ts'
import { getThreadRoots } from './get-threads.ts'
import { inviteUser } from './invite-user.ts'
import { joinRoom } from './join-room.ts'
import { joinRoomById } from './join-room-by-id.ts'
import { getJoinedRooms } from './joined-rooms.ts'
import { kick } from './kick.ts'
import { knockRoom } from './knock-room.ts'
import { leaveRoom } from './leave-room.ts'
import { queryPublicRooms } from './query-public-rooms.ts'
import { redactEvent } from './redact-event.ts'
import { sendMessage } from './send-message.ts'
import { setRoomAlias } from './set-room-alias.ts'
import { setRoomState } from './set-room-state.ts'
import { setRoomVisibilityOnDirectory } from './set-room-visibility.ts'
import { unban } from './unban.ts'
import { upgradeRoom } from './upgrade-room.ts'

/** The endpoints of rooms. */
export const clientRooms: readonly AnyEndpoint[] = [
  ban,
  createRoom,
  deleteRoomAlias,
  forgetRoom,
  getEventByTimestamp,
  getEventContext,
  getOneRoomEvent,
  getPublicRooms,
  getJoinedMembersByRoom,
  getLocalAliases,
  getMembersByRoom,
  getRelatingEvents,
  getRelatingEventsWithRelType,
  getRelatingEventsWithRelTypeAndEventType,
  getRoomEvents,
  getRoomIdByAlias,
  getRoomState,
  getRoomStateWithKey,
  getRoomVisibilityOnDirectory,
  getThreadRoots,
  inviteUser,
  joinRoom,
  joinRoomById,
  getJoinedRooms,
  kick,
  knockRoom,
  leaveRoom,
  queryPublicRooms,
  redactEvent,
  sendMessage,
  setRoomAlias,
  setRoomState,
  setRoomVisibilityOnDirectory,
  unban,
  upgradeRoom,
]
