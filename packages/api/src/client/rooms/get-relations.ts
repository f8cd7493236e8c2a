import { defineEndpoint } from '../../define.ts'
import { relationsAsked, relationsQuery, relationsResponse, relationsText } from './relations-page.ts'

/** Spec: client-server API, GET rooms/{roomId}/relations/{eventId}. */
export const getRelatingEvents = defineEndpoint({
  id: 'client.getRelatingEvents',
  method: 'GET',
  path: '/_matrix/client/v1/rooms/{roomId}/relations/{eventId}',
  aliases: ['unstable'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: relationsQuery,
  response: relationsResponse,
  unstableFeatures: ['org.matrix.msc3715.stable', 'org.matrix.msc3981'],
  async handler({ ctx, params, query, requester }) {
    const asked = { ...relationsAsked(query, ctx.rooms.timelines), deviceId: requester.deviceId }
    const page = await ctx.rooms.relations.children(requester.userId, params.roomId, params.eventId, asked)
    return { jsonText: relationsText(page, query) }
  },
})
