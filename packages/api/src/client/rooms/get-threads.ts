import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { clientEventShape } from './bodies.ts'

const DEFAULT_LIMIT = 20
const MAX_LIMIT = 100

/** Spec: client-server API, GET rooms/{roomId}/threads. */
export const getThreadRoots = defineEndpoint({
  id: 'client.getThreadRoots',
  method: 'GET',
  path: '/_matrix/client/v1/rooms/{roomId}/threads',
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: z.object({
    include: z.enum(['all', 'participated']).optional(),
    limit: z.coerce.number().int().min(1).optional(),
    from: z.string().optional(),
  }),
  response: z.object({ chunk: z.array(clientEventShape), next_batch: z.string().optional() }),
  unstableFeatures: ['org.matrix.msc3440.stable', 'org.matrix.msc3856.stable'],
  async handler({ ctx, params, query, requester }) {
    const page = await ctx.rooms.relations.threads(requester.userId, params.roomId, {
      deviceId: requester.deviceId,
      participated: query.include === 'participated',
      from: query.from === undefined ? undefined : ctx.rooms.timelines.position(query.from),
      limit: Math.min(query.limit ?? DEFAULT_LIMIT, MAX_LIMIT),
    })
    const next = page.nextBatch === undefined ? '' : `,"next_batch":${JSON.stringify(page.nextBatch)}`
    return { jsonText: `{"chunk":[${page.chunk.join(',')}]${next}}` }
  },
})
