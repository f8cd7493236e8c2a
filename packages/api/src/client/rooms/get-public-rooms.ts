import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { publishedRoomsLimit, publishedRoomsResponse, publishedRoomsText, requireOwnDirectory } from './published-rooms-page.ts'

/** Spec: client-server API, GET publicRooms. */
export const getPublicRooms = defineEndpoint({
  id: 'client.getPublicRooms',
  method: 'GET',
  path: '/_matrix/client/v3/publicRooms',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['sync'],
  affinity: 'none',
  query: z.object({ limit: z.coerce.number().int().min(0).optional(), since: z.string().optional(), server: z.string().optional() }),
  response: publishedRoomsResponse,
  async handler({ ctx, query }) {
    requireOwnDirectory(query.server, ctx.serverInfo.serverName)
    const page = await ctx.rooms.published.list({ limit: publishedRoomsLimit(query.limit), since: query.since })
    return { jsonText: publishedRoomsText(page) }
  },
})
