import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { authDict, deleteDevicesWithAuth } from './delete-devices-with-auth.ts'

/** Spec: client-server API, POST /delete_devices. */
export const deleteDevices = defineEndpoint({
  id: 'client.deleteDevices',
  method: 'POST',
  path: '/_matrix/client/v3/delete_devices',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: z.object({ devices: z.array(z.string()).max(1_000), auth: authDict }),
  response: z.object({}),
  async handler({ ctx, requester, body }) {
    await deleteDevicesWithAuth(ctx, requester, 'client.deleteDevices', body.devices, body.auth)
    return { json: {} }
  },
})
