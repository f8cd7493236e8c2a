import { MatrixError } from '@weft/matrix'

/** Who makes a request, once the access token was found valid. */
export interface Requester {
  readonly userId: string
  readonly deviceId: string | undefined
  readonly accessTokenId: number
  readonly isAdmin: boolean
  readonly isGuest: boolean
  readonly locked: boolean
  readonly suspended: boolean
  readonly shadowBanned: boolean
}

/**
 * Finds the requester of an access token. Memory may only say yes: an unknown token is always looked up in PostgreSQL.
 * Returns undefined for a token that does not exist (any more): the edge answers 401 M_UNKNOWN_TOKEN.
 */
export interface Authenticator {
  authenticate(accessToken: string): Promise<Requester | undefined>
}

/** Longer than any token this server hands out: what is longer was never one. */
const MAX_TOKEN_LENGTH = 1024

/**
 * The access token of a request: the Bearer header, else the deprecated query parameter.
 * Spec: "Using access tokens".
 *
 * @param query what follows the question mark
 */
export function accessTokenOf(authorization: string | undefined, query: string): string | undefined {
  if (authorization !== undefined) {
    const space = authorization.indexOf(' ')
    if (space === 6 && authorization.slice(0, 6).toLowerCase() === 'bearer') {
      const token = authorization.slice(7).trim()
      if (token !== '') return token
    }
  }
  if (!query.includes('access_token=')) return undefined
  return new URLSearchParams(query).get('access_token') || undefined
}

/**
 * The requester of a request, by what its endpoint asks for.
 *
 * @throws MatrixError M_MISSING_TOKEN, M_UNKNOWN_TOKEN, or M_USER_LOCKED unless `lockedAllowed`
 */
export async function authenticateRequest(
  authenticator: Authenticator,
  token: string | undefined,
  rules: { readonly required: boolean; readonly lockedAllowed: boolean },
): Promise<Requester | undefined> {
  if (token === undefined) {
    if (rules.required) throw new MatrixError('M_MISSING_TOKEN', 'Missing access token')
    return undefined
  }
  // NUL could not even be looked up, and no token was ever issued with it.
  const requester = token.length > MAX_TOKEN_LENGTH || token.includes('\0') ? undefined : await authenticator.authenticate(token)
  if (requester === undefined) throw new MatrixError('M_UNKNOWN_TOKEN', 'Unrecognised access token', { fields: { soft_logout: false } })
  if (requester.locked && !rules.lockedAllowed) {
    throw new MatrixError('M_USER_LOCKED', 'This account has been locked', { fields: { soft_logout: true } })
  }
  return requester
}
