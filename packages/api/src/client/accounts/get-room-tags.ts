import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, GET /user/{userId}/rooms/{roomId}/tags. */
export const getRoomTags = defineEndpoint({
  id: 'client.getRoomTags',
  method: 'GET',
  path: '/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({ tags: z.record(z.string(), z.unknown()) }),
  async handler({ ctx, params, requester }) {
    requireOwn(requester, params.userId)
    const room = await ctx.accountReads.rooms.requireKnown(params.roomId, requester.userId)
    return { json: { tags: await ctx.accountReads.accountData.tags(requester.userId, room) } }
  },
})
