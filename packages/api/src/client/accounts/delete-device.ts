import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { authDict, deleteDevicesWithAuth } from './delete-devices-with-auth.ts'

/** Spec: client-server API, DELETE /devices/{deviceId}. */
export const deleteDevice = defineEndpoint({
  id: 'client.deleteDevice',
  method: 'DELETE',
  path: '/_matrix/client/v3/devices/{deviceId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: z.object({ auth: authDict }),
  bodyOptional: true,
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    await deleteDevicesWithAuth(ctx, requester, 'client.deleteDevice', [params.deviceId], body.auth)
    return { json: {} }
  },
})
