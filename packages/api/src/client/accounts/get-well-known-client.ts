import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /.well-known/matrix/client. */
export const getWellKnownClient = defineEndpoint({
  id: 'client.getWellknown',
  method: 'GET',
  path: '/.well-known/matrix/client',
  auth: 'none',
  servedBy: ['sync', 'writer'],
  affinity: 'none',
  response: z.object({ 'm.homeserver': z.object({ base_url: z.string() }) }),
  async handler({ ctx }) {
    const { wellKnownClient } = ctx.serverInfo
    if (wellKnownClient === undefined) throw new MatrixError('M_NOT_FOUND', 'public_baseurl is not configured')
    return { json: wellKnownClient }
  },
})
