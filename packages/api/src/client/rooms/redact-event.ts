import { rawJsonObject } from '@weft/http'
import { defineEndpoint } from '../../define.ts'
import { eventIdResponse } from './bodies.ts'

/** Spec: client-server API, PUT redact/{eventId}/{txnId}. A suspended user may still redact, as the spec allows for own events. */
export const redactEvent = defineEndpoint({
  id: 'client.redactEvent',
  method: 'PUT',
  path: '/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  rateLimit: 'message',
  body: rawJsonObject,
  bodyOptional: true,
  response: eventIdResponse,
  async handler({ ctx, params, requester, body, request }) {
    const eventId = await ctx.rooms.messages.redact({
      roomId: params.roomId,
      eventId: params.eventId,
      content: body.value,
      sender: requester,
      txn: { txnId: params.txnId, path: request.path },
      ownOnly: requester.suspended,
    })
    return { json: { event_id: eventId } }
  },
})
