import { type JsonObject, MatrixError, own, ownObject, ownString } from '@weft/matrix'
import { type Queryable, type UserRow, UsersReader } from '@weft/storage'
import { userIdCandidates } from './localpart.ts'
import type { PasswordHasher } from './password-hasher.ts'
import type { BucketLimit, Buckets } from './ports.ts'

/** What {@link PasswordLogin} stands on. */
export interface PasswordLoginOptions {
  readonly serverName: string
  readonly db: Queryable
  readonly hasher: PasswordHasher
  readonly buckets: Buckets
  /** rc_login.account and rc_login.failed_attempts; absent where there is no limit. */
  readonly limits: { readonly account?: BucketLimit; readonly failedAttempts?: BucketLimit }
}

/**
 * Finds out whether somebody knows the password of an account. A wrong password, an account that does not exist and one
 * without a password get the same answer after the same work.
 */
export class PasswordLogin {
  readonly #options: PasswordLoginOptions
  readonly #users: UsersReader

  constructor(options: PasswordLoginOptions) {
    this.#options = options
    this.#users = new UsersReader(options.db)
  }

  /**
   * @param body of a login request or the `auth` of a m.login.password stage
   * @returns the user id
   * @throws MatrixError M_FORBIDDEN for wrong credentials; M_USER_DEACTIVATED and M_USER_LOCKED only to who knows the password;
   *   M_LIMIT_EXCEEDED; M_MISSING_PARAM, M_BAD_JSON, M_UNKNOWN for a request that names nobody
   */
  async verify(body: JsonObject): Promise<string> {
    const password = own(body, 'password')
    if (password === undefined) throw new MatrixError('M_MISSING_PARAM', 'password is missing')
    if (typeof password !== 'string') throw new MatrixError('M_BAD_JSON', 'password must be a string')
    const candidates = userIdCandidates(readIdentifier(body), this.#options.serverName)
    const user = await this.#find(candidates)
    const name = user?.name ?? candidates.at(-1) ?? ''
    await this.#limit('failed', name, this.#options.limits.failedAttempts)
    const right = await this.#options.hasher.verify(user?.password_hash ?? undefined, password)
    if (!right || user === undefined) throw new MatrixError('M_FORBIDDEN', 'Invalid username or password')
    await this.#giveBack('failed', name, this.#options.limits.failedAttempts)
    if (user.deactivated) throw new MatrixError('M_USER_DEACTIVATED', 'This account has been deactivated')
    if (user.locked) throw new MatrixError('M_USER_LOCKED', 'This account has been locked', { fields: { soft_logout: true } })
    return user.name
  }

  /** Takes from the account's own bucket: for logins, not for stages of user-interactive auth. @throws MatrixError M_LIMIT_EXCEEDED */
  async limitAccount(userId: string): Promise<void> {
    await this.#limit('account', userId, this.#options.limits.account)
  }

  async #find(candidates: readonly string[]): Promise<UserRow | undefined> {
    // One query in any case, so that a name that cannot be takes no less time.
    const users = await this.#users.list(candidates)
    return candidates.map((name) => users.find((user) => user.name === name)).find((user) => user !== undefined)
  }

  async #limit(kind: 'account' | 'failed', userId: string, limit: BucketLimit | undefined): Promise<void> {
    if (limit === undefined) return
    const taken = await this.#options.buckets.take(`login.${kind}:${userId}`, limit)
    if (taken.ok) return
    throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many login attempts', {
      fields: { retry_after_ms: taken.retryAfterMs },
      headers: { 'Retry-After': String(Math.max(1, Math.ceil(taken.retryAfterMs / 1000))) },
    })
  }

  /** An attempt is paid for before it is made, since parallel ones would all find the bucket full, and refunded when it was right. */
  async #giveBack(kind: 'failed', userId: string, limit: BucketLimit | undefined): Promise<void> {
    if (limit !== undefined) await this.#options.buckets.take(`login.${kind}:${userId}`, limit, -1)
  }
}

/** The `user` of an identifier. Spec: client-server API, "Identifier types"; POST /login, `user` (deprecated). */
function readIdentifier(body: JsonObject): string {
  const identifier = ownObject(body, 'identifier')
  if (identifier === undefined) {
    if (own(body, 'identifier') !== undefined) throw new MatrixError('M_BAD_JSON', 'identifier must be an object')
    const user = own(body, 'user')
    if (typeof user === 'string') return user
    if (user !== undefined) throw new MatrixError('M_BAD_JSON', 'user must be a string')
    if (own(body, 'medium') !== undefined || own(body, 'address') !== undefined) throw unknownThirdParty()
    throw new MatrixError('M_MISSING_PARAM', 'identifier is missing')
  }
  switch (ownString(identifier, 'type')) {
    case 'm.id.user': {
      const user = own(identifier, 'user')
      if (user === undefined) throw new MatrixError('M_MISSING_PARAM', 'identifier.user is missing')
      if (typeof user !== 'string') throw new MatrixError('M_BAD_JSON', 'identifier.user must be a string')
      return user
    }
    case 'm.id.thirdparty':
    case 'm.id.phone':
      throw unknownThirdParty()
    default:
      throw new MatrixError('M_UNKNOWN', 'Unknown type of login identifier', { status: 400 })
  }
}

/** No third-party identifier is bound to any account here. Spec: 403 for one that the server does not know. */
function unknownThirdParty(): MatrixError {
  return new MatrixError('M_FORBIDDEN', 'Invalid username or password')
}
