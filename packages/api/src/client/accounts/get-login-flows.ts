import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /login. */
export const getLoginFlows = defineEndpoint({
  id: 'client.getLoginFlows',
  method: 'GET',
  path: '/_matrix/client/v3/login',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['sync', 'writer'],
  affinity: 'none',
  response: z.object({ flows: z.array(z.object({ type: z.string() })) }),
  async handler({ ctx }) {
    return { json: { flows: ctx.serverInfo.passwordLogin ? [{ type: 'm.login.password' }] : [] } }
  },
})
