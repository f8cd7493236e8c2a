import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, POST /logout. The body is ignored: clients send none, `{}` or nonsense. */
export const logout = defineEndpoint({
  id: 'client.logout',
  method: 'POST',
  path: '/_matrix/client/v3/logout',
  aliases: ['r0'],
  auth: 'accessToken',
  lockedAllowed: true,
  servedBy: ['writer'],
  affinity: 'user',
  response: z.object({}),
  async handler({ ctx, requester }) {
    await ctx.accounts.sessions.logout(requester)
    return { json: {} }
  },
})
