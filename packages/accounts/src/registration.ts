import { MatrixError } from '@weft/matrix'
import { ProfilesWriter, RegistrationTokensReader, RegistrationTokensWriter, type Tx, UsersReader, UsersWriter } from '@weft/storage'
import { generateLocalpart, userIdForUsername } from './localpart.ts'
import type { PasswordHasher } from './password-hasher.ts'
import { checkPassword, type PasswordPolicy } from './password-policy.ts'
import type { WriteStores } from './ports.ts'
import { checkDeviceRequest, type DeviceRequest, type Session, type Sessions } from './sessions.ts'

/** The settings of homeserver.yaml that decide who may register. */
export interface RegistrationSettings {
  readonly serverName: string
  /** enable_registration */
  readonly enabled: boolean
  /** registration_requires_token */
  readonly requiresToken: boolean
  /** password_config.policy; absent where it is not enabled. */
  readonly passwordPolicy?: PasswordPolicy | undefined
}

export interface RegistrationOptions extends WriteStores {
  readonly settings: RegistrationSettings
  readonly hasher: PasswordHasher
  readonly sessions: Sessions
}

export interface NewAccount {
  readonly username: string | undefined
  readonly password: string
  /** The registration token that the client's flow was completed with. */
  readonly token?: string | undefined
  readonly admin?: boolean
  readonly displayName?: string
  /** Absent where the client wants no login (`inhibit_login`). */
  readonly device?: DeviceRequest | undefined
}

/** Creates accounts. Spec: client-server API, POST /register. */
export class Registration {
  readonly #options: RegistrationOptions
  readonly #users: UsersReader
  readonly #tokens: RegistrationTokensReader

  constructor(options: RegistrationOptions) {
    this.#options = options
    this.#users = new UsersReader(options.db)
    this.#tokens = new RegistrationTokensReader(options.db)
  }

  /** The flows that a client may choose from; each is a list of stages. */
  get flows(): readonly (readonly string[])[] {
    return this.#options.settings.requiresToken ? [['m.login.registration_token']] : [['m.login.dummy']]
  }

  /** @throws MatrixError M_FORBIDDEN while registration is closed */
  requireOpen(): void {
    if (!this.#options.settings.enabled) throw new MatrixError('M_FORBIDDEN', 'Registration is disabled on this server')
  }

  /** @throws MatrixError M_INVALID_USERNAME, M_USER_IN_USE */
  async requireAvailable(username: string): Promise<void> {
    const userId = userIdForUsername(username, this.#options.settings.serverName)
    if ((await this.#users.get(userId)) !== undefined) throw inUse()
  }

  /** True while the registration token can be used. */
  async isTokenValid(token: string): Promise<boolean> {
    if (token.includes('\0')) return false
    return this.#tokens.isValid(token, this.#options.clock.now())
  }

  /** Checks all that can be refused before a client goes through its flow. @throws MatrixError as {@link register} */
  async check(account: {
    readonly username: string | undefined
    readonly password: string | undefined
    readonly device?: DeviceRequest | undefined
  }): Promise<void> {
    if (account.password !== undefined) checkPassword(account.password, this.#options.settings.passwordPolicy)
    if (account.device !== undefined) checkDeviceRequest(account.device)
    if (account.username !== undefined) await this.requireAvailable(account.username)
  }

  /**
   * Creates the account and, where a device is given, its first session, in one transaction.
   * @throws MatrixError M_INVALID_USERNAME, M_USER_IN_USE, M_WEAK_PASSWORD, M_INVALID_PARAM; M_FORBIDDEN for a token that was used up
   */
  async register(account: NewAccount): Promise<{ userId: string; session?: Session }> {
    const { hasher, sessions, settings, clock, fenced } = this.#options
    await this.check(account)
    const userId = userIdForUsername(account.username ?? generateLocalpart(), settings.serverName)
    const passwordHash = await hasher.hash(account.password)
    const create = async (tx: Tx): Promise<void> => {
      const now = clock.now()
      if (account.token !== undefined && !(await new RegistrationTokensWriter(tx).use(account.token, now))) {
        throw new MatrixError('M_FORBIDDEN', 'The registration token is not valid any more')
      }
      const created = await new UsersWriter(tx).create({ userId, passwordHash, creationTs: now, admin: account.admin === true })
      if (!created) throw inUse()
      if (account.displayName !== undefined) await new ProfilesWriter(tx).set(userId, 'displayname', JSON.stringify(account.displayName))
    }
    if (account.device !== undefined) return { userId, session: await sessions.create(userId, account.device, create) }
    await fenced.transaction(create)
    return { userId }
  }
}

function inUse(): MatrixError {
  return new MatrixError('M_USER_IN_USE', 'User ID already taken')
}
