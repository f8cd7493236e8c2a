import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { jsonObject, roomIdResponse } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST rooms/{roomId}/join. Joining again changes nothing, so the router may repeat it. */
export const joinRoomById = defineEndpoint({
  id: 'client.joinRoomById',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/join',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  rateLimit: 'joins',
  idempotent: true,
  body: z.object({ reason: z.string().max(2048).optional(), third_party_signed: jsonObject.optional() }),
  bodyOptional: true,
  response: roomIdResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    const roomId = await ctx.rooms.directory.resolve(params.roomId)
    return { json: { room_id: await ctx.rooms.memberships.join(requester.userId, roomId, { reason: body.reason }) } }
  },
})
