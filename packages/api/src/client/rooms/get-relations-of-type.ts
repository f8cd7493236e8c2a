import { defineEndpoint } from '../../define.ts'
import { relationsAsked, relationsQuery, relationsResponse, relationsText } from './relations-page.ts'

/** Spec: client-server API, GET rooms/{roomId}/relations/{eventId}/{relType}. */
export const getRelatingEventsWithRelType = defineEndpoint({
  id: 'client.getRelatingEventsWithRelType',
  method: 'GET',
  path: '/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}',
  aliases: ['unstable'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: relationsQuery,
  response: relationsResponse,
  async handler({ ctx, params, query, requester }) {
    const asked = { ...relationsAsked(query, ctx.rooms.timelines), deviceId: requester.deviceId, relationType: params.relType }
    const page = await ctx.rooms.relations.children(requester.userId, params.roomId, params.eventId, asked)
    return { jsonText: relationsText(page, query) }
  },
})
