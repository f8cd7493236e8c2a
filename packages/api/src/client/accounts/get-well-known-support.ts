import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /.well-known/matrix/support. */
export const getWellKnownSupport = defineEndpoint({
  id: 'client.getWellknownSupport',
  method: 'GET',
  path: '/.well-known/matrix/support',
  auth: 'none',
  servedBy: ['sync', 'writer'],
  affinity: 'none',
  response: z.object({ contacts: z.array(z.unknown()).optional(), support_page: z.string().optional() }),
  async handler({ ctx }) {
    const { wellKnownSupport } = ctx.serverInfo
    if (wellKnownSupport === undefined) throw new MatrixError('M_NOT_FOUND', 'No support contact is configured')
    return { json: wellKnownSupport }
  },
})
