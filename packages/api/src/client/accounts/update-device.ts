import { isDeviceId, MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, PUT /devices/{deviceId}. Only application services may create a device this way. */
export const updateDevice = defineEndpoint({
  id: 'client.updateDevice',
  method: 'PUT',
  path: '/_matrix/client/v3/devices/{deviceId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: z.object({ display_name: z.string().optional() }),
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    const { userId } = requester
    if (body.display_name === undefined) await ctx.accountReads.devices.get(userId, params.deviceId)
    else if (!isDeviceId(params.deviceId) || !(await ctx.accounts.sessions.rename(userId, params.deviceId, body.display_name))) {
      throw new MatrixError('M_NOT_FOUND', 'No such device')
    }
    return { json: {} }
  },
})
