import { defineEndpoint } from '../../define.ts'
import { emptyResponse, userAndReasonBody } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST ban. */
export const ban = defineEndpoint({
  id: 'client.ban',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/ban',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  body: userAndReasonBody,
  bodyOptional: false,
  response: emptyResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    await ctx.rooms.memberships.ban(requester.userId, body.user_id, params.roomId, { reason: body.reason })
    return { json: {} }
  },
})
