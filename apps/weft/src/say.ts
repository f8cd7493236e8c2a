import type { Config } from '@weft/kernel'

/** Tells the person who started it something, beside the log. */
export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** What to do next, once the server answers. */
export function sayHowToBegin(config: Config): void {
  const url = urlOf(config)
  const open = config.enable_registration && !config.registration_requires_token
  say('')
  say(`  Weft answers at ${url} as ${config.server_name}.`)
  say('')
  say('  An account:   npm run weft -- register-user -u alice')
  if (open) {
    say(`  or by hand:   curl -X POST ${url}/_matrix/client/v3/register \\`)
    say(`                  -d '{"username":"alice","password":"a long password","auth":{"type":"m.login.dummy"}}'`)
  }
  say(`  A client:     Element (Desktop, or app.element.io), with ${url} as its homeserver`)
  say('  To stop:      Ctrl-C')
  say('')
}

/** The first address that clients can use. */
export function urlOf(config: Config): string {
  const listener = config.listeners.find((candidate) => candidate.type === 'http')
  const host = listener?.bind_addresses.find((address) => address !== '::' && address !== '0.0.0.0') ?? '127.0.0.1'
  return `http://${host.includes(':') ? `[${host}]` : host}:${listener?.port ?? 8008}`
}
