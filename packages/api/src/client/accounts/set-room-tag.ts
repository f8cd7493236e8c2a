import { rawJsonObject } from '@weft/http'
import { MatrixError, own, RawNumber } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireOwn } from './own-user.ts'

/** Spec: client-server API, PUT /user/{userId}/rooms/{roomId}/tags/{tag}. */
export const setRoomTag = defineEndpoint({
  id: 'client.setRoomTag',
  method: 'PUT',
  path: '/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: rawJsonObject,
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    requireOwn(requester, params.userId)
    const order = own(body.value, 'order')
    if (order !== undefined && typeof order !== 'number' && !(order instanceof RawNumber)) {
      throw new MatrixError('M_BAD_JSON', 'order must be a number')
    }
    const room = await ctx.accountReads.rooms.requireKnown(params.roomId, requester.userId)
    await ctx.accounts.accountData.setTag(requester.userId, room, params.tag, body.value)
    return { json: {} }
  },
})
