import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Synapse's admin API, "Registration Tokens", POST /registration_tokens/new: without it, nobody could hand out a token. */
export const adminCreateRegistrationToken = defineEndpoint({
  id: 'admin.createRegistrationToken',
  method: 'POST',
  path: '/_synapse/admin/v1/registration_tokens/new',
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'none',
  body: z.object({
    token: z.string().optional(),
    length: z.int().min(1).max(64).optional(),
    uses_allowed: z.int().min(0).max(2_147_483_647).nullish(),
    expiry_time: z.int().min(0).nullish(),
  }),
  response: z.object({
    token: z.string(),
    uses_allowed: z.int().nullable(),
    pending: z.int(),
    completed: z.int(),
    expiry_time: z.int().nullable(),
  }),
  async handler({ ctx, requester, body }) {
    if (!requester.isAdmin) throw new MatrixError('M_FORBIDDEN', 'You are not a server administrator')
    const { token, length, uses_allowed, expiry_time } = body
    const wanted = { token, length, usesAllowed: uses_allowed ?? undefined, expiryTime: expiry_time ?? undefined }
    return { json: await ctx.accounts.registrationTokens.create(wanted) }
  },
})
