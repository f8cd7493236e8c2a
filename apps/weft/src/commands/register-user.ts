import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { sharedSecretMac } from '@weft/accounts'
import { loadConfig } from '@weft/kernel'
import { UsageError } from '../cli.ts'
import { say, urlOf } from '../say.ts'

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
  const config = loadConfig({ path: options.config, env: process.env, requires: [] })
  const secret = config.registration_shared_secret
  if (secret === undefined) throw new UsageError(`${options.config} has no registration_shared_secret`)
  const endpoint = `${(options.url ?? urlOf(config)).replace(/\/$/, '')}/_synapse/admin/v1/register`
  const password = options.password ?? (await readPassword(options.passwordFile))
  const { nonce } = (await ask(endpoint)) as { nonce: string }
  const mac = sharedSecretMac(secret, { nonce, username: options.user, password, admin: options.admin })
  const answer = await ask(endpoint, { nonce, username: options.user, password, admin: options.admin, mac, inhibit_login: true })
  say(`${(answer as { user_id: string }).user_id} is registered${options.admin ? ' as an administrator' : ''}.`)
}

async function readPassword(file: string | undefined): Promise<string> {
  if (file !== undefined) return (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  if (!process.stdin.isTTY) throw new UsageError('give --password or --password-file: there is no terminal to ask on')
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return await terminal.question('Password: ')
  } finally {
    terminal.close()
  }
}

async function ask(url: string, body?: object): Promise<unknown> {
  let response: Response
  try {
    response = await fetch(
      url,
      body === undefined ? {} : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
    )
  } catch {
    throw new UsageError(`no server answers at ${new URL(url).origin}: start it first, or give --url`)
  }
  const answer = (await response.json()) as { errcode?: string; error?: string }
  if (!response.ok) throw new UsageError(`the server refuses: ${answer.errcode} ${answer.error}`)
  return answer
}
