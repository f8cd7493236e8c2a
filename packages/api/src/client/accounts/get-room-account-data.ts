import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, GET /user/{userId}/rooms/{roomId}/account_data/{type}. */
export const getRoomAccountData = defineEndpoint({
  id: 'client.getAccountDataPerRoom',
  method: 'GET',
  path: '/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({}),
  async handler({ ctx, params, requester }) {
    requireOwn(requester, params.userId)
    const room = await ctx.accountReads.rooms.requireKnown(params.roomId, requester.userId)
    return { jsonText: await ctx.accountReads.accountData.get(requester.userId, room, params.type) }
  },
})
