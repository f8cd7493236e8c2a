import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET rooms/{roomId}/timestamp_to_event. */
export const getEventByTimestamp = defineEndpoint({
  id: 'client.getEventByTimestamp',
  method: 'GET',
  path: '/_matrix/client/v1/rooms/{roomId}/timestamp_to_event',
  aliases: ['/_matrix/client/unstable/org.matrix.msc3030/rooms/{roomId}/timestamp_to_event'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: z.object({ ts: z.coerce.number().int(), dir: z.enum(['b', 'f']) }),
  response: z.object({ event_id: z.string(), origin_server_ts: z.number() }),
  unstableFeatures: ['org.matrix.msc3030'],
  async handler({ ctx, params, query, requester }) {
    const access = await ctx.rooms.reads.access(requester.userId, params.roomId)
    const found = await ctx.rooms.timelines.atTime(access, query.ts, query.dir)
    return { json: { event_id: found.eventId, origin_server_ts: found.originServerTs } }
  },
})
