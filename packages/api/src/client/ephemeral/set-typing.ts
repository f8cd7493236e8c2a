import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from '../accounts/own-user.ts'

/** Spec: client-server API, PUT /rooms/{roomId}/typing/{userId}. */
export const setTyping = defineEndpoint({
  id: 'client.setTyping',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/{roomId}/typing/{userId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  body: z.object({ typing: z.boolean(), timeout: z.int().min(0).optional() }),
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    requireOwn(requester, params.userId)
    const room = await ctx.accountReads.rooms.requireJoined(params.roomId, requester.userId)
    await ctx.accounts.typing.set(requester.userId, room, body.typing, body.timeout)
    return { json: {} }
  },
})
