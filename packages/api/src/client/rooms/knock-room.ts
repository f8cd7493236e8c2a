import { defineEndpoint } from '../../define.ts'
import { reasonBody, roomIdResponse } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST knock/{roomIdOrAlias}. */
export const knockRoom = defineEndpoint({
  id: 'client.knockRoom',
  method: 'POST',
  path: '/_matrix/client/v3/knock/{roomIdOrAlias}',
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  rateLimit: 'joins',
  idempotent: true,
  body: reasonBody,
  bodyOptional: true,
  response: roomIdResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    const roomId = await ctx.rooms.directory.resolve(params.roomIdOrAlias)
    return { json: { room_id: await ctx.rooms.memberships.knock(requester.userId, roomId, { reason: body.reason }) } }
  },
})
