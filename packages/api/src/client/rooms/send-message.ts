import { rawJsonObject } from '@weft/http'
import { defineEndpoint } from '../../define.ts'
import { eventIdResponse } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, PUT send/{eventType}/{txnId}. The hottest endpoint: see packages/rooms/src/event-writer.ts. */
export const sendMessage = defineEndpoint({
  id: 'client.sendMessage',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  rateLimit: 'message',
  body: rawJsonObject,
  response: eventIdResponse,
  async handler({ ctx, params, requester, body, request }) {
    requireNotSuspended(requester)
    const eventId = await ctx.rooms.messages.send({
      roomId: params.roomId,
      type: params.eventType,
      content: body.value,
      sender: requester,
      txn: { txnId: params.txnId, path: request.path },
    })
    return { jsonText: `{"event_id":"${eventId}"}` }
  },
})
