import { readFileSync } from 'node:fs'
import { BlockList, isIP } from 'node:net'
import { parseSigningKeyFile } from '@weft/matrix'
import type { ConfigProblem } from './error.ts'
import type { Config } from './schema.ts'
import type { ConfigSource } from './source.ts'

/** What a process cannot do without, though the schema leaves it open because another class can. */
export type Requirement = 'internal_secret' | 'signing_key' | 'database' | 'redis'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** True for an address on which only this machine can connect. */
export function isLoopback(address: string): boolean {
  const family = isIP(address)
  if (family === 0) return address.toLowerCase() === 'localhost'
  return loopback.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

/** Refuses a server that all who come may register on, where others can come (a reverse proxy brings them to loopback, too). */
export function checkOpenRegistration(config: Config, source: ConfigSource): ConfigProblem[] {
  if (!config.enable_registration || config.registration_requires_token || config.enable_registration_without_verification) return []
  const remedy =
    'set `registration_requires_token: true`, or listen on 127.0.0.1 only; `enable_registration_without_verification: true` accepts the spam'
  return config.listeners.flatMap((listener, index) => {
    if (listener.type !== 'http') return []
    const open = listener.bind_addresses.find((address) => !isLoopback(address))
    if (open === undefined && !listener.x_forwarded) return []
    const reach = open === undefined ? 'a reverse proxy brings others to' : `others can reach ${open} of`
    return [source.problem(['enable_registration'], `is open to all who come, and ${reach} listeners[${index}]`, remedy)]
  })
}

/** Checks that a process has what it cannot do without; nothing is made up in its place (R31). */
export function checkRequirements(config: Config, source: ConfigSource, requires: readonly Requirement[]): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  if (requires.includes('internal_secret') && config.internal_secret === undefined) {
    problems.push(
      source.problem(
        ['internal_secret'],
        'is missing',
        'give `internal_secret`, or `internal_secret_path`; `openssl rand -hex 32` makes one',
      ),
    )
  }
  if (requires.includes('database') && config.database === undefined) {
    problems.push(
      source.problem(['database'], 'is missing', 'give `database.url`, or $DATABASE_URL; only `weft start` has a database of its own'),
    )
  }
  if (requires.includes('redis') && config.redis === undefined) {
    problems.push(
      source.problem(['redis'], 'is not enabled', 'give `redis` with `enabled: true`, or $REDIS_URL: processes of their own need it'),
    )
  }
  if (requires.includes('signing_key')) {
    const fault = signingKeyFault(config.signing_key_path)
    if (fault !== undefined)
      problems.push(
        source.problem(
          ['signing_key_path'],
          fault,
          'put the key there, from your copy of it; where the server is new and nothing is lost, move this file away, too, and let `weft generate-config` (or `weft start`, to try it out) make both',
        ),
      )
  }
  return problems
}

function signingKeyFault(file: string): string | undefined {
  try {
    return parseSigningKeyFile(readFileSync(file, 'utf8')).length > 0 ? undefined : `${file} holds no signing key`
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    // The parser's message could quote the key.
    return code === undefined ? `${file} holds no signing key that can be read` : `${file} cannot be read: ${code}`
  }
}
