import { addressKey, limitExceeded } from '@weft/http'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

// Clients ask with each pause in typing, so it does not draw on rc_registration; it still tells which accounts there are.
const LIMIT = { perSecond: 1, burstCount: 20 }

/** Spec: client-server API, GET /register/available. */
export const checkUsernameAvailability = defineEndpoint({
  id: 'client.checkUsernameAvailability',
  method: 'GET',
  path: '/_matrix/client/v3/register/available',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['writer'],
  affinity: 'none',
  query: z.object({ username: z.string() }),
  response: z.object({ available: z.literal(true) }),
  async handler({ ctx, query, request }) {
    const { buckets, registration } = ctx.accounts
    const taken = await buckets.take(`available:${addressKey(request.ip)}`, LIMIT)
    if (!taken.ok) throw limitExceeded(taken.retryAfterMs)
    registration.requireOpen()
    await registration.requireAvailable(query.username)
    return { json: { available: true } }
  },
})
