import { defineEndpoint } from '../../define.ts'
import { clientEventShape } from './bodies.ts'

/** Spec: client-server API, GET rooms/{roomId}/event/{eventId}. */
export const getOneRoomEvent = defineEndpoint({
  id: 'client.getOneRoomEvent',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/event/{eventId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  response: clientEventShape,
  async handler({ ctx, params, requester }) {
    return { jsonText: await ctx.rooms.reads.event(requester.userId, params.roomId, params.eventId, requester.deviceId) }
  },
})
