import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET state/{eventType}/{stateKey}; an empty state key may be left out, with or without its slash (R33). */
export const getRoomStateWithKey = defineEndpoint({
  id: 'client.getRoomStateWithKey',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: z.object({ format: z.enum(['content', 'event']).optional() }),
  response: z.record(z.string(), z.unknown()),
  async handler({ ctx, params, query, requester }) {
    const access = await ctx.rooms.reads.access(requester.userId, params.roomId)
    const event = await ctx.rooms.reads.stateEvent(access, params.eventType, params.stateKey ?? '')
    return query.format === 'event' ? { jsonText: event.text } : { json: event.content }
  },
})
