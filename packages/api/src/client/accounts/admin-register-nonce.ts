import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Synapse's admin API, "Shared-Secret Registration", which `weft register-user` and Synapse's own tool speak. */
export const adminRegisterNonce = defineEndpoint({
  id: 'admin.registerNonce',
  method: 'GET',
  path: '/_synapse/admin/v1/register',
  auth: 'none',
  servedBy: ['writer'],
  affinity: 'none',
  response: z.object({ nonce: z.string() }),
  async handler({ ctx }) {
    return { json: { nonce: ctx.accounts.sharedSecret.makeNonce() } }
  },
})
