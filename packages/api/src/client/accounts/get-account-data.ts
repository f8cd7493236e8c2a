import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, GET /user/{userId}/account_data/{type}. */
export const getAccountData = defineEndpoint({
  id: 'client.getAccountData',
  method: 'GET',
  path: '/_matrix/client/v3/user/{userId}/account_data/{type}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({}),
  async handler({ ctx, params, requester }) {
    requireOwn(requester, params.userId)
    return { jsonText: await ctx.accountReads.accountData.get(requester.userId, undefined, params.type) }
  },
})
