import { defineEndpoint } from '../../define.ts'
import { clientDevice } from './client-device.ts'

/** Spec: client-server API, GET /devices/{deviceId}. */
export const getDevice = defineEndpoint({
  id: 'client.getDevice',
  method: 'GET',
  path: '/_matrix/client/v3/devices/{deviceId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: clientDevice,
  async handler({ ctx, params, requester }) {
    return { json: await ctx.accountReads.devices.get(requester.userId, params.deviceId) }
  },
})
