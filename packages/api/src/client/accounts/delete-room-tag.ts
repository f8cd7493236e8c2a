import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, DELETE /user/{userId}/rooms/{roomId}/tags/{tag}. */
export const deleteRoomTag = defineEndpoint({
  id: 'client.deleteRoomTag',
  method: 'DELETE',
  path: '/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  response: z.object({}),
  async handler({ ctx, params, requester }) {
    requireOwn(requester, params.userId)
    const room = await ctx.accountReads.rooms.requireKnown(params.roomId, requester.userId)
    await ctx.accounts.accountData.deleteTag(requester.userId, room, params.tag)
    return { json: {} }
  },
})
