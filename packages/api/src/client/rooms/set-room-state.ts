import { rawJsonObject } from '@weft/http'
import { defineEndpoint } from '../../define.ts'
import { eventIdResponse } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, PUT state/{eventType}/{stateKey}; an empty state key may be left out, with or without its slash (R33). */
export const setRoomState = defineEndpoint({
  id: 'client.setRoomStateWithKey',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  rateLimit: 'message',
  body: rawJsonObject,
  response: eventIdResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    const eventId = await ctx.rooms.messages.setState({
      roomId: params.roomId,
      type: params.eventType,
      stateKey: params.stateKey ?? '',
      content: body.value,
      sender: requester,
    })
    return { json: { event_id: eventId } }
  },
})
