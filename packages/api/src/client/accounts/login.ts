import { rawJsonObject } from '@weft/http'
import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { readDevice } from './device-request.ts'

/** Spec: client-server API, POST /login. Refresh tokens are not given: the access token does not expire. */
export const login = defineEndpoint({
  id: 'client.login',
  method: 'POST',
  path: '/_matrix/client/v3/login',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['writer'],
  affinity: 'none',
  rateLimit: 'login',
  body: rawJsonObject,
  response: z.object({ user_id: z.string(), access_token: z.string(), device_id: z.string(), home_server: z.string() }),
  async handler({ ctx, body, request }) {
    const { passwordLogin, sessions } = ctx.accounts
    const { serverInfo } = ctx
    const type = body.value.type
    if (type === undefined) throw new MatrixError('M_MISSING_PARAM', 'type is missing')
    if (typeof type !== 'string') throw new MatrixError('M_BAD_JSON', 'type must be a string')
    if (type === 'm.login.application_service') {
      throw new MatrixError('M_APPSERVICE_LOGIN_UNSUPPORTED', 'Application services are not supported')
    }
    if (type !== 'm.login.password' || !serverInfo.passwordLogin) throw new MatrixError('M_UNKNOWN', 'Unknown login type', { status: 400 })
    const device = readDevice(body.value, request)
    const userId = await passwordLogin.verify(body.value)
    await passwordLogin.limitAccount(userId)
    const session = await sessions.create(userId, device)
    return {
      json: {
        user_id: userId,
        access_token: session.accessToken,
        device_id: session.deviceId,
        home_server: serverInfo.serverName,
        ...(serverInfo.wellKnownClient === undefined ? {} : { well_known: serverInfo.wellKnownClient }),
      },
    }
  },
})
