import { rawJsonObject } from '@weft/http'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, POST /user/{userId}/filter. */
export const defineFilter = defineEndpoint({
  id: 'client.defineFilter',
  method: 'POST',
  path: '/_matrix/client/v3/user/{userId}/filter',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  // The same filter has the same id however often it is given.
  idempotent: true,
  body: rawJsonObject,
  response: z.object({ filter_id: z.string() }),
  async handler({ ctx, params, requester, body }) {
    requireOwn(requester, params.userId)
    return { json: { filter_id: await ctx.accounts.filters.create(requester.userId, body.value) } }
  },
})
