import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET directory/list/room/{roomId}. */
export const getRoomVisibilityOnDirectory = defineEndpoint({
  id: 'client.getRoomVisibilityOnDirectory',
  method: 'GET',
  path: '/_matrix/client/v3/directory/list/room/{roomId}',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['sync'],
  affinity: 'none',
  response: z.object({ visibility: z.enum(['public', 'private']) }),
  async handler({ ctx, params }) {
    return { json: { visibility: await ctx.rooms.published.visibility(params.roomId) } }
  },
})
