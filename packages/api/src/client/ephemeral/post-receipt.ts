import { rawJsonObject } from '@weft/http'
import { own } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, POST /rooms/{roomId}/receipt/{receiptType}/{eventId}. */
export const postReceipt = defineEndpoint({
  id: 'client.postReceipt',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  // A receipt that stands there already is passed over.
  idempotent: true,
  body: rawJsonObject,
  bodyOptional: true,
  unstableFeatures: ['org.matrix.msc2285.stable'],
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    const room = await ctx.accountReads.rooms.requireJoined(params.roomId, requester.userId)
    await ctx.accounts.receipts.set(requester.userId, room, params.receiptType, params.eventId, own(body.value, 'thread_id'))
    return { json: {} }
  },
})
