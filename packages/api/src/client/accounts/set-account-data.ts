import { rawJsonObject } from '@weft/http'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { ACCOUNT_DATA_BODY_BYTES } from './body-limits.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, PUT /user/{userId}/account_data/{type}. */
export const setAccountData = defineEndpoint({
  id: 'client.setAccountData',
  method: 'PUT',
  path: '/_matrix/client/v3/user/{userId}/account_data/{type}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: rawJsonObject,
  maxBodyBytes: ACCOUNT_DATA_BODY_BYTES,
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    requireOwn(requester, params.userId)
    await ctx.accounts.accountData.set(requester.userId, undefined, params.type, body.value)
    return { json: {} }
  },
})
