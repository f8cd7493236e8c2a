import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { emptyResponse } from './bodies.ts'

/** Spec: client-server API, POST forget. */
export const forgetRoom = defineEndpoint({
  id: 'client.forgetRoom',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/forget',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  body: z.object({}),
  bodyOptional: true,
  idempotent: true,
  response: emptyResponse,
  async handler({ ctx, params, requester }) {
    await ctx.rooms.memberships.forget(requester.userId, params.roomId)
    return { json: {} }
  },
})
