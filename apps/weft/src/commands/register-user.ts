import { readFile } from 'node:fs/promises'
import { sharedSecretMac } from '@weft/accounts'
import { loadConfig, OperatorError } from '@weft/kernel'
import { askNewPassword } from '../ask-password.ts'
import { say, urlOf } from '../say.ts'
import { UsageError } from '../usage.ts'

export interface RegisterUserOptions {
  readonly user: string
  readonly password?: string
  readonly passwordFile?: string
  readonly admin: boolean
  readonly config: string
  readonly url?: string
}

/** `weft register-user`: by the shared secret, over the same endpoint that Synapse has. */
export async function registerUser(options: RegisterUserOptions): Promise<void> {
  if (options.password !== undefined && options.passwordFile !== undefined)
    throw new UsageError('give --password or --password-file, not both')
  const config = loadConfig({ path: options.config, env: process.env, requires: [] })
  const secret = config.registration_shared_secret
  if (secret === undefined) {
    throw new OperatorError(
      `${options.config} has no registration_shared_secret: put one there ('openssl rand -hex 32' makes one) and restart.`,
    )
  }
  const username = localpartOf(options.user, config.server_name)
  const base = options.url ?? urlOf(config)
  if (!URL.canParse(base)) throw new UsageError(`${base} is no URL such as http://127.0.0.1:8008`)
  const endpoint = `${base.replace(/\/$/, '')}/_synapse/admin/v1/register`
  // Before anybody types a password: whether there is a server.
  const { nonce } = (await ask(endpoint)) as { nonce: string }
  const password = options.password ?? (await readPassword(options.passwordFile))
  const mac = sharedSecretMac(secret, { nonce, username, password, admin: options.admin })
  const answer = await ask(endpoint, { nonce, username, password, admin: options.admin, mac, inhibit_login: true })
  say(`${(answer as { user_id: string }).user_id} is registered${options.admin ? ' as an administrator' : ''}.`)
}

function localpartOf(user: string, serverName: string): string {
  if (!user.startsWith('@')) return user
  if (user.endsWith(`:${serverName}`)) return user.slice(1, -serverName.length - 1)
  throw new UsageError(`${user} is no user of ${serverName}`)
}

async function readPassword(file: string | undefined): Promise<string> {
  if (file === undefined) return askNewPassword()
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  } catch (error) {
    throw new OperatorError(`${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

/** @throws OperatorError when nothing answers, or something else than what is asked for */
async function ask(url: string, body?: object): Promise<unknown> {
  const { origin } = new URL(url)
  let response: Response
  let text: string
  try {
    response = await fetch(
      url,
      body === undefined ? {} : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
    )
    text = await response.text()
  } catch (error) {
    throw new OperatorError(`no server answers at ${origin}: start it first, or give --url`, { cause: error })
  }
  const answer = objectIn(text)
  if (response.ok && answer !== undefined) return answer
  if (typeof answer?.errcode !== 'string') throw new OperatorError(`what answers at ${origin} is no Weft (${response.status}): give --url`)
  throw new OperatorError(`the server refuses: ${answer.error} (${answer.errcode})`)
}

function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    // A proxy's page, or another program.
    return undefined
  }
}
