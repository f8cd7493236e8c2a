import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/**
 * Spec: client-server API, "Syncing", GET /_matrix/client/v3/sync. `set_presence` is accepted; presence itself is not there yet.
 * A request may wait for minutes: it goes to the process that has the user's view, and ends early when that process drains.
 */
export const sync = defineEndpoint({
  id: 'client.sync',
  method: 'GET',
  path: '/_matrix/client/v3/sync',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'user',
  longPoll: true,
  query: z.object({
    filter: z.string().optional(),
    since: z.string().optional(),
    full_state: z.enum(['true', 'false']).optional(),
    set_presence: z.enum(['offline', 'online', 'unavailable']).optional(),
    timeout: z.coerce.number().min(0).optional(),
    use_state_after: z.enum(['true', 'false']).optional(),
  }),
  response: z.object({
    next_batch: z.string(),
    rooms: z.record(z.enum(['join', 'invite', 'knock', 'leave']), z.record(z.string(), z.unknown())).optional(),
    account_data: z.object({ events: z.array(z.unknown()) }).optional(),
    to_device: z.object({ events: z.array(z.unknown()) }).optional(),
  }),
  async handler({ ctx, query, requester, request }) {
    const jsonText = await ctx.sync.sync({
      userId: requester.userId,
      deviceId: requester.deviceId,
      accessTokenId: requester.accessTokenId,
      since: query.since,
      filter: query.filter,
      fullState: query.full_state === 'true',
      useStateAfter: query.use_state_after === 'true',
      timeoutMs: query.timeout ?? 0,
      signal: request.signal,
      isGone: () => request.gone,
    })
    return { jsonText }
  },
})
