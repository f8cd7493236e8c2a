import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET rooms/{roomId}/aliases. */
export const getLocalAliases = defineEndpoint({
  id: 'client.getLocalAliases',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/aliases',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  response: z.object({ aliases: z.array(z.string()) }),
  async handler({ ctx, params, requester }) {
    return { json: { aliases: await ctx.rooms.reads.aliases(requester.userId, params.roomId) } }
  },
})
