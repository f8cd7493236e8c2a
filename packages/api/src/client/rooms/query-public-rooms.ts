import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { publishedRoomsLimit, publishedRoomsResponse, publishedRoomsText, requireOwnDirectory } from './published-rooms-page.ts'

/** Spec: client-server API, POST publicRooms. */
export const queryPublicRooms = defineEndpoint({
  id: 'client.queryPublicRooms',
  method: 'POST',
  path: '/_matrix/client/v3/publicRooms',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'user',
  idempotent: true,
  query: z.object({ server: z.string().optional() }),
  body: z.object({
    limit: z.number().int().min(0).optional(),
    since: z.string().optional(),
    filter: z
      .object({
        generic_search_term: z.string().max(500).nullish(),
        room_types: z.array(z.string().nullable()).max(100).nullish(),
      })
      .optional(),
    include_all_networks: z.boolean().optional(),
    third_party_instance_id: z.string().optional(),
  }),
  bodyOptional: true,
  response: publishedRoomsResponse,
  unstableFeatures: ['org.matrix.msc3827.stable'],
  async handler({ ctx, query, body }) {
    requireOwnDirectory(query.server, ctx.serverInfo.serverName)
    const { third_party_instance_id: network, filter } = body
    if (network !== undefined && body.include_all_networks === true) {
      throw new MatrixError('M_INVALID_PARAM', 'third_party_instance_id cannot stand beside include_all_networks')
    }
    // Rooms of other networks come from application services, of which there are none.
    if (network !== undefined) return { jsonText: '{"chunk":[],"total_room_count_estimate":0}' }
    const page = await ctx.rooms.published.list({
      limit: publishedRoomsLimit(body.limit),
      since: body.since,
      search: filter?.generic_search_term ?? undefined,
      roomTypes: filter?.room_types ?? undefined,
    })
    return { jsonText: publishedRoomsText(page) }
  },
})
