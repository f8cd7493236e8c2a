import { rawJsonObject } from '@weft/http'
import { MatrixError, own, ownString } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { optionalBoolean, optionalString, readDevice } from './device-request.ts'

/**
 * Spec: client-server API, POST /register. Guests are not supported. Refresh tokens are not given: the access token does not
 * expire.
 */
export const register = defineEndpoint({
  id: 'client.register',
  method: 'POST',
  path: '/_matrix/client/v3/register',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['writer'],
  affinity: 'none',
  rateLimit: 'registration',
  query: z.object({ kind: z.enum(['user', 'guest']).optional() }),
  body: rawJsonObject,
  response: z.object({
    user_id: z.string(),
    home_server: z.string(),
    access_token: z.string().optional(),
    device_id: z.string().optional(),
  }),
  async handler({ ctx, query, body, request }) {
    const { registration } = ctx.accounts
    if (query.kind === 'guest') throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 'Guest access is disabled')
    if (own(body.value, 'type') === 'm.login.application_service') {
      throw new MatrixError('M_APPSERVICE_LOGIN_UNSUPPORTED', 'Application services are not supported')
    }
    registration.requireOpen()
    const username = optionalString(body.value, 'username')
    const password = optionalString(body.value, 'password')
    const device = optionalBoolean(body.value, 'inhibit_login') === true ? undefined : readDevice(body.value, request)
    await registration.check({ username, password, device })
    const stages = await ctx.uia.run({
      operation: 'client.register',
      auth: own(body.value, 'auth'),
      // Clients ask for the flows before they know the name and the password. A session is good for one account, whichever.
      boundTo: {},
      flows: registration.flows,
    })
    if (password === undefined) throw new MatrixError('M_MISSING_PARAM', 'password is missing')
    const token = ownString(stages, 'm.login.registration_token')
    const { userId, session } = await registration.register({ username, password, token, device })
    const login = session === undefined ? {} : { access_token: session.accessToken, device_id: session.deviceId }
    return { json: { user_id: userId, home_server: ctx.serverInfo.serverName, ...login } }
  },
})
