import type { AnyEndpoint } from '@weft/http'
import { ban } from './ban.ts'
import { createRoom } from './create-room.ts'
import { deleteRoomAlias } from './delete-room-alias.ts'
import { forgetRoom } from './forget-room.ts'
import { getOneRoomEvent } from './get-event.ts'
import { getJoinedMembersByRoom } from './get-joined-members.ts'
import { getLocalAliases } from './get-local-aliases.ts'
import { getMembersByRoom } from './get-members.ts'
import { getRoomEvents } from './get-messages.ts'
import { getRoomIdByAlias } from './get-room-by-alias.ts'
import { getRoomState } from './get-room-state.ts'
import { getRoomStateWithKey } from './get-state-event.ts'
import { inviteUser } from './invite-user.ts'
import { joinRoom } from './join-room.ts'
import { joinRoomById } from './join-room-by-id.ts'
import { getJoinedRooms } from './joined-rooms.ts'
import { kick } from './kick.ts'
import { knockRoom } from './knock-room.ts'
import { leaveRoom } from './leave-room.ts'
import { redactEvent } from './redact-event.ts'
import { sendMessage } from './send-message.ts'
import { setRoomAlias } from './set-room-alias.ts'
import { setRoomState } from './set-room-state.ts'
import { unban } from './unban.ts'

/** The endpoints of rooms. */
export const clientRooms: readonly AnyEndpoint[] = [
  ban,
  createRoom,
  deleteRoomAlias,
  forgetRoom,
  getOneRoomEvent,
  getJoinedMembersByRoom,
  getLocalAliases,
  getMembersByRoom,
  getRoomEvents,
  getRoomIdByAlias,
  getRoomState,
  getRoomStateWithKey,
  inviteUser,
  joinRoom,
  joinRoomById,
  getJoinedRooms,
  kick,
  knockRoom,
  leaveRoom,
  redactEvent,
  sendMessage,
  setRoomAlias,
  setRoomState,
  unban,
]
