import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /profile/{userId}. Open to all, as the spec has it; users of other servers are not known here. */
export const getProfile = defineEndpoint({
  id: 'client.getUserProfile',
  method: 'GET',
  path: '/_matrix/client/v3/profile/{userId}',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['sync', 'writer'],
  affinity: 'none',
  response: z.object({ displayname: z.string().optional(), avatar_url: z.string().optional() }),
  async handler({ ctx, params }) {
    return { json: await ctx.accountReads.profiles.get(params.userId) }
  },
})
