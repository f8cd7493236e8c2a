import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireProfileChange } from './profile-change.ts'

/** Spec: client-server API, DELETE /profile/{userId}/{keyName}. */
export const deleteProfileField = defineEndpoint({
  id: 'client.deleteProfileField',
  method: 'DELETE',
  path: '/_matrix/client/v3/profile/{userId}/{keyName}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  response: z.object({}),
  async handler({ ctx, params, requester }) {
    requireProfileChange(requester, params.userId)
    await ctx.accounts.profiles.delete(requester.userId, params.keyName)
    return { json: {} }
  },
})
