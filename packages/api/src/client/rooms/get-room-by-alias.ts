import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET directory/room/{roomAlias}. */
export const getRoomIdByAlias = defineEndpoint({
  id: 'client.getRoomIdByAlias',
  method: 'GET',
  path: '/_matrix/client/v3/directory/room/{roomAlias}',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['sync', 'writer'],
  affinity: 'none',
  response: z.object({ room_id: z.string(), servers: z.array(z.string()) }),
  async handler({ ctx, params }) {
    return { json: await ctx.rooms.directory.lookup(params.roomAlias) }
  },
})
