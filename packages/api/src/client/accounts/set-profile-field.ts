import { rawJsonObject } from '@weft/http'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireProfileChange } from './profile-change.ts'

/** Spec: client-server API, PUT /profile/{userId}/{keyName}. */
export const setProfileField = defineEndpoint({
  id: 'client.setProfileField',
  method: 'PUT',
  path: '/_matrix/client/v3/profile/{userId}/{keyName}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: rawJsonObject,
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    requireProfileChange(requester, params.userId)
    await ctx.accounts.profiles.set(requester.userId, params.keyName, body.value)
    return { json: {} }
  },
})
