import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { emptyResponse, userAndReasonBody } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST invite: of a user id, and of an email address or phone number. */
export const inviteUser = defineEndpoint({
  id: 'client.inviteUser',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/invite',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  rateLimit: 'invites',
  body: userAndReasonBody.extend({ user_id: z.string().optional(), medium: z.string().optional(), address: z.string().optional() }),
  bodyOptional: false,
  response: emptyResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    if (body.user_id === undefined) {
      if (body.medium === undefined && body.address === undefined) throw new MatrixError('M_MISSING_PARAM', 'user_id is missing')
      throw new MatrixError('M_THREEPID_DENIED', 'This server has no identity server to invite by email or phone number with')
    }
    await ctx.rooms.memberships.invite(requester.userId, body.user_id, params.roomId, { reason: body.reason })
    return { json: {} }
  },
})
