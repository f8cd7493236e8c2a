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
