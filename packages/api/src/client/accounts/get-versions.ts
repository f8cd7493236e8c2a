import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /versions. */
export const getVersions = defineEndpoint({
  id: 'client.getVersions',
  method: 'GET',
  path: '/_matrix/client/versions',
  auth: 'none',
  servedBy: ['sync', 'writer'],
  affinity: 'none',
  response: z.object({ versions: z.array(z.string()), unstable_features: z.record(z.string(), z.boolean()) }),
  async handler({ ctx }) {
    return { json: ctx.serverInfo.versions }
  },
})
