import { compileRoomEventFilter, parseJson } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { clientEventShape } from './bodies.ts'

const MAX_LIMIT = 1000

/** Spec: client-server API, GET rooms/{roomId}/messages. Takes tokens of /messages and of /sync. */
export const getRoomEvents = defineEndpoint({
  id: 'client.getRoomEvents',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/messages',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: z.object({
    dir: z.enum(['b', 'f']),
    from: z.string().optional(),
    to: z.string().optional(),
    limit: z.coerce.number().int().min(0).optional(),
    filter: z.string().optional(),
  }),
  response: z.object({
    chunk: z.array(clientEventShape),
    start: z.string(),
    end: z.string().optional(),
    state: z.array(clientEventShape).optional(),
  }),
  async handler({ ctx, params, query, requester }) {
    const { timelines, reads } = ctx.rooms
    const filter = query.filter === undefined ? undefined : compileRoomEventFilter(parseJson(query.filter))
    const access = await reads.access(requester.userId, params.roomId, requester.deviceId)
    const page = await timelines.messages(access, {
      direction: query.dir,
      from: query.from === undefined ? undefined : timelines.position(query.from),
      to: query.to === undefined ? undefined : timelines.position(query.to),
      limit: Math.min(query.limit ?? filter?.limit ?? 10, filter?.limit ?? MAX_LIMIT, MAX_LIMIT),
      filter,
    })
    const end = page.end === undefined ? '' : `,"end":"${page.end}"`
    const state = page.state.length === 0 ? '' : `,"state":[${page.state.join(',')}]`
    return { jsonText: `{"chunk":[${page.chunk.join(',')}],"start":"${page.start}"${end}${state}}` }
  },
})
