import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /register/m.login.registration_token/validity. */
export const registrationTokenValidity = defineEndpoint({
  id: 'client.registrationTokenValidity',
  method: 'GET',
  path: '/_matrix/client/v1/register/m.login.registration_token/validity',
  auth: 'none',
  servedBy: ['writer'],
  affinity: 'none',
  rateLimit: 'registrationTokenValidity',
  query: z.object({ token: z.string() }),
  response: z.object({ valid: z.boolean() }),
  async handler({ ctx, query }) {
    const { registration } = ctx.accounts
    registration.requireOpen()
    return { json: { valid: await registration.isTokenValid(query.token) } }
  },
})
