import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET joined_rooms. */
export const getJoinedRooms = defineEndpoint({
  id: 'client.getJoinedRooms',
  method: 'GET',
  path: '/_matrix/client/v3/joined_rooms',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'user',
  response: z.object({ joined_rooms: z.array(z.string()) }),
  async handler({ ctx, requester }) {
    return { json: { joined_rooms: await ctx.rooms.reads.joinedRooms(requester.userId) } }
  },
})
