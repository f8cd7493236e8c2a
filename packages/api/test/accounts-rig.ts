import type { AccountServicesOptions } from '@weft/accounts'
import {
  BucketRateLimiter,
  dummyStage,
  type MountOptions,
  passwordStage,
  Registry,
  registrationTokenStage,
  UserInteractiveAuth,
} from '@weft/http'
import { AccountsRig, SERVER } from '../../accounts/test/rig.ts'
import { type Answer, type SendOptions, startServer, type TestServer } from '../../http/test/harness.ts'
import { clientAccounts } from '../src/client/accounts/index.ts'
import { clientEphemeral } from '../src/client/ephemeral/index.ts'
import { serverInfo } from '../src/server-info.ts'

export const endpoints = [...clientAccounts, ...clientEphemeral]

/** The endpoints of accounts behind HTTP, on a database of its own. */
export class ApiRig {
  readonly accounts: AccountsRig
  readonly server: TestServer

  private constructor(accounts: AccountsRig, server: TestServer) {
    this.accounts = accounts
    this.server = server
  }

  static async start(
    overrides: Partial<AccountServicesOptions> = {},
    config: { public_baseurl?: string; admin_contact?: string; limits?: ConstructorParameters<typeof BucketRateLimiter>[1] } = {},
  ): Promise<ApiRig> {
    const rig = await AccountsRig.start(overrides)
    const { registration, passwordLogin } = rig.accounts
    const stages = [dummyStage, passwordStage(passwordLogin), registrationTokenStage(registration)]
    const info = serverInfo(
      {
        server_name: SERVER,
        support: { contacts: [] },
        default_room_version: '12',
        password_config: { enabled: true },
        ...config,
      },
      new Registry(endpoints).unstableFeatures(),
    )
    const shared = { accountReads: rig.reads, serverInfo: info }
    const writer = { ...shared, accounts: rig.accounts, uia: new UserInteractiveAuth(rig.uiaSessions, stages, 'uia secret') }
    const options: Partial<MountOptions> = {
      services: { writer },
      authenticator: rig.authenticator,
      rateLimiter: new BucketRateLimiter(rig.ephemeral, config.limits ?? {}),
    }
    return new ApiRig(rig, await startServer(endpoints, options))
  }

  async stop(): Promise<void> {
    await this.server[Symbol.asyncDispose]()
    await this.accounts.stop()
  }

  /** A request below /_matrix/client/v3, or of another path as it is. */
  send(method: string, path: string, options: SendOptions = {}): Promise<Answer> {
    return this.server.send(method, path.startsWith('/_') || path.startsWith('/.') ? path : `/_matrix/client/v3${path}`, options)
  }

  /** Registers over HTTP, with the password `secret`. */
  async register(username: string, device_id = 'DEVICE'): Promise<{ userId: string; token: string }> {
    const body = { username, password: 'secret', device_id, auth: { type: 'm.login.dummy' } }
    const { json, status } = await this.send('POST', '/register', { body })
    if (status !== 200) throw new Error(`register: ${status} ${JSON.stringify(json)}`)
    return { userId: json.user_id, token: json.access_token }
  }
}
