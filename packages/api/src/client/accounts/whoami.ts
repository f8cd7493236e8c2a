import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /account/whoami. */
export const whoami = defineEndpoint({
  id: 'client.getTokenOwner',
  method: 'GET',
  path: '/_matrix/client/v3/account/whoami',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({ user_id: z.string(), device_id: z.string().optional(), is_guest: z.boolean() }),
  async handler({ requester }) {
    const { userId, deviceId, isGuest } = requester
    return { json: { user_id: userId, ...(deviceId === undefined ? {} : { device_id: deviceId }), is_guest: isGuest } }
  },
})
