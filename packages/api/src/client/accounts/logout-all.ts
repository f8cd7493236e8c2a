import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, POST /logout/all. */
export const logoutAll = defineEndpoint({
  id: 'client.logoutAll',
  method: 'POST',
  path: '/_matrix/client/v3/logout/all',
  aliases: ['r0'],
  auth: 'accessToken',
  lockedAllowed: true,
  servedBy: ['writer'],
  affinity: 'user',
  response: z.object({}),
  async handler({ ctx, requester }) {
    await ctx.accounts.sessions.logoutAll(requester.userId)
    return { json: {} }
  },
})
