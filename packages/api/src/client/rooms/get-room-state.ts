import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { clientEventShape } from './bodies.ts'

/** Spec: client-server API, GET rooms/{roomId}/state. */
export const getRoomState = defineEndpoint({
  id: 'client.getRoomState',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/state',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  response: z.array(clientEventShape),
  async handler({ ctx, params, requester }) {
    const access = await ctx.rooms.reads.access(requester.userId, params.roomId)
    return ctx.rooms.stream('[', ctx.rooms.reads.state(access), ']')
  },
})
