import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { clientDevice } from './client-device.ts'

/** Spec: client-server API, GET /devices. */
export const getDevices = defineEndpoint({
  id: 'client.getDevices',
  method: 'GET',
  path: '/_matrix/client/v3/devices',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({ devices: z.array(clientDevice) }),
  async handler({ ctx, requester }) {
    return { json: { devices: await ctx.accountReads.devices.list(requester.userId) } }
  },
})
