import { compileRoomEventFilter, parseJson } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { clientEventShape } from './bodies.ts'

const MAX_LIMIT = 500

/** Spec: client-server API, GET rooms/{roomId}/context/{eventId}. Streams: the state may have any size. */
export const getEventContext = defineEndpoint({
  id: 'client.getEventContext',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/context/{eventId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: z.object({ limit: z.coerce.number().int().min(0).optional(), filter: z.string().optional() }),
  response: z.object({
    start: z.string(),
    end: z.string(),
    events_before: z.array(clientEventShape),
    event: clientEventShape,
    events_after: z.array(clientEventShape),
    state: z.array(clientEventShape),
  }),
  async handler({ ctx, params, query, requester }) {
    const filter = query.filter === undefined ? undefined : compileRoomEventFilter(parseJson(query.filter))
    const limit = Math.min(query.limit ?? 10, MAX_LIMIT)
    const context = await ctx.rooms.timelines.context(requester.userId, params.roomId, params.eventId, {
      limit,
      filter,
      deviceId: requester.deviceId,
    })
    const { start, end, before, event, after, state } = context
    const events = `"events_before":[${before.join(',')}],"event":${event},"events_after":[${after.join(',')}]`
    return ctx.rooms.stream(`{"start":"${start}","end":"${end}",${events},"state":[`, state, ']}')
  },
})
