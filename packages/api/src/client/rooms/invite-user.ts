import { defineEndpoint } from '../../define.ts'
import { emptyResponse, userAndReasonBody } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST invite. */
export const inviteUser = defineEndpoint({
  id: 'client.inviteUser',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/invite',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  rateLimit: 'invites',
  body: userAndReasonBody,
  bodyOptional: false,
  response: emptyResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    await ctx.rooms.memberships.invite(requester.userId, body.user_id, params.roomId, { reason: body.reason })
    return { json: {} }
  },
})
