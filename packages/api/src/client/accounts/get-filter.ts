import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, GET /user/{userId}/filter/{filterId}. */
export const getFilter = defineEndpoint({
  id: 'client.getFilter',
  method: 'GET',
  path: '/_matrix/client/v3/user/{userId}/filter/{filterId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({}),
  async handler({ ctx, params, requester }) {
    requireOwn(requester, params.userId)
    return { jsonText: await ctx.accountReads.filters.get(requester.userId, params.filterId) }
  },
})
