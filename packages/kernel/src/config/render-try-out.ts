import type { z } from 'zod'
import { settingsOf } from './schema-walk.ts'
import { rateLimits } from './sections/rate-limits.ts'
import { comment, settingText } from './yaml-text.ts'

/** What is told apart in files for trying out. */
export interface TryOutOptions {
  readonly serverName: string
  /** Port on 127.0.0.1 and ::1; 8008 by default. */
  readonly port?: number
  readonly internalSecret: string
  readonly registrationSharedSecret: string
  /** Relative to the file; `<server_name>.signing.key` by default. */
  readonly signingKeyPath?: string
  /** More settings, by top-level key. */
  readonly values?: Readonly<Record<string, unknown>>
}

/** homeserver.yaml as the first `weft start` writes it: to try the server out on this machine, and it says so. */
export function renderTryOutConfig({
  serverName,
  port = 8008,
  internalSecret,
  registrationSharedSecret,
  signingKeyPath,
  values = {},
}: TryOutOptions): string {
  const limits = Object.entries(rateLimits).map(([key, schema]) => settingText(key, switchedOff(schema)))
  const host = '127.0.0.1'
  return [
    comment(
      'THIS FILE IS FOR TRYING OUT WEFT ON YOUR OWN MACHINE. Registration is open to anyone who can connect, without any check, and rate limits are off.',
    ),
    comment(
      'Keep it on loopback: with another listener the server refuses to start. For a server that others reach, `weft generate-config` writes a safe file.',
    ),
    '',
    comment('The part of user ids after the colon.'),
    settingText('server_name', serverName),
    settingText('public_baseurl', `http://${host}:${port}/`),
    '',
    comment('Loopback only.'),
    settingText('listeners', [{ port, bind_addresses: [host, '::1'], type: 'http' }]),
    '',
    comment('NOT SAFE where others connect: anyone may register, by the dummy stage alone.'),
    settingText('enable_registration', true),
    '',
    comment('Secrets of this server, made at random. Keep them, and the signing key, to yourself.'),
    settingText('internal_secret', internalSecret),
    settingText('registration_shared_secret', registrationSharedSecret),
    ...(signingKeyPath === undefined ? [] : [settingText('signing_key_path', signingKeyPath)]),
    '',
    comment('NOT SAFE where others connect: no limit on what one client may ask for.'),
    ...limits,
    ...Object.entries(values).flatMap(([key, value]) => ['', settingText(key, value)]),
    '',
  ].join('\n')
}

/** Every limit of a setting, off. */
function switchedOff(schema: z.ZodType): unknown {
  if (schema.safeParse(false).success) return false
  return Object.fromEntries(Object.entries(settingsOf(schema) ?? {}).map(([key, inner]) => [key, switchedOff(inner)]))
}
