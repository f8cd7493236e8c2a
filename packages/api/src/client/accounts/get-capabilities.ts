import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /capabilities. */
export const getCapabilities = defineEndpoint({
  id: 'client.getCapabilities',
  method: 'GET',
  path: '/_matrix/client/v3/capabilities',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({ capabilities: z.record(z.string(), z.unknown()) }),
  async handler({ ctx }) {
    return { json: { capabilities: ctx.serverInfo.capabilities } }
  },
})
