import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /register/available. */
export const checkUsernameAvailability = defineEndpoint({
  id: 'client.checkUsernameAvailability',
  method: 'GET',
  path: '/_matrix/client/v3/register/available',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['writer'],
  affinity: 'none',
  rateLimit: 'registration',
  query: z.object({ username: z.string() }),
  response: z.object({ available: z.literal(true) }),
  async handler({ ctx, query }) {
    const { registration } = ctx.accounts
    registration.requireOpen()
    await registration.requireAvailable(query.username)
    return { json: { available: true } }
  },
})
