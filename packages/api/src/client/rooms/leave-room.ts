import { defineEndpoint } from '../../define.ts'
import { emptyResponse, reasonBody } from './bodies.ts'

/** Spec: client-server API, POST leave; a suspended user may leave and reject invites. */
export const leaveRoom = defineEndpoint({
  id: 'client.leaveRoom',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/leave',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  body: reasonBody,
  bodyOptional: true,
  response: emptyResponse,
  async handler({ ctx, params, requester, body }) {
    await ctx.rooms.memberships.leave(requester.userId, params.roomId, { reason: body.reason })
    return { json: {} }
  },
})
