import { rawJsonObject } from '@weft/http'
import { isJsonObject, MatrixError, own } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { TO_DEVICE_BODY_BYTES } from '../accounts/body-limits.ts'

/** Spec: client-server API, PUT /sendToDevice/{eventType}/{txnId}. */
export const sendToDevice = defineEndpoint({
  id: 'client.sendToDevice',
  method: 'PUT',
  path: '/_matrix/client/v3/sendToDevice/{eventType}/{txnId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: rawJsonObject,
  maxBodyBytes: TO_DEVICE_BODY_BYTES,
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    const messages = own(body.value, 'messages')
    if (messages === undefined) throw new MatrixError('M_MISSING_PARAM', 'messages is missing')
    if (!isJsonObject(messages)) throw new MatrixError('M_BAD_JSON', 'messages must be an object')
    await ctx.accounts.toDevice.send({
      sender: requester.userId,
      session: requester.deviceId ?? `token ${requester.accessTokenId}`,
      type: params.eventType,
      txnId: params.txnId,
      messages,
    })
    return { json: {} }
  },
})
