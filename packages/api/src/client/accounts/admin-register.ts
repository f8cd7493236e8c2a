import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Synapse's admin API, "Shared-Secret Registration": works while registration is closed. */
export const adminRegister = defineEndpoint({
  id: 'admin.register',
  method: 'POST',
  path: '/_synapse/admin/v1/register',
  auth: 'none',
  servedBy: ['writer'],
  affinity: 'none',
  body: z.object({
    nonce: z.string(),
    username: z.string(),
    password: z.string(),
    mac: z.string(),
    admin: z.boolean().nullish(),
    displayname: z.string().max(256).nullish(),
    inhibit_login: z.boolean().nullish(),
  }),
  response: z.object({
    user_id: z.string(),
    home_server: z.string(),
    access_token: z.string().optional(),
    device_id: z.string().optional(),
  }),
  async handler({ ctx, body, request }) {
    const { nonce, username, password, mac, displayname } = body
    const admin = body.admin === true
    ctx.accounts.sharedSecret.verify({ nonce, username, password, admin, mac })
    const device = { deviceId: undefined, displayName: undefined, ip: request.ip, userAgent: request.userAgent }
    const { userId, session } = await ctx.accounts.registration.register({
      username,
      password,
      admin,
      ...(displayname ? { displayName: displayname } : {}),
      ...(body.inhibit_login === true ? {} : { device }),
    })
    const login = session === undefined ? {} : { access_token: session.accessToken, device_id: session.deviceId }
    return { json: { user_id: userId, home_server: ctx.serverInfo.serverName, ...login } }
  },
})
