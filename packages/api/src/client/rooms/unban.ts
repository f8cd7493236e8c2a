import { defineEndpoint } from '../../define.ts'
import { emptyResponse, userAndReasonBody } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST unban. */
export const unban = defineEndpoint({
  id: 'client.unban',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/unban',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  body: userAndReasonBody,
  bodyOptional: false,
  response: emptyResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    await ctx.rooms.memberships.unban(requester.userId, body.user_id, params.roomId, { reason: body.reason })
    return { json: {} }
  },
})
