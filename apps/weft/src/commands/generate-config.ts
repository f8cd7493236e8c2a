import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { OperatorError, renderSampleConfig } from '@weft/kernel'
import { isServerName } from '@weft/matrix'
import { newSecret, newSigningKey, writeNew } from '../first-config.ts'
import { say } from '../say.ts'
import { UsageError } from '../usage.ts'

/** `weft generate-config`: a configuration for a server that others reach. */
export async function generateConfig(options: { readonly serverName: string; readonly output: string }): Promise<void> {
  const { serverName } = options
  if (!isServerName(serverName)) throw new UsageError(`${JSON.stringify(serverName)} is no server name, such as example.org`)
  const folder = resolve(options.output)
  const file = join(folder, 'homeserver.yaml')
  const keyName = `${serverName.replaceAll(/[^A-Za-z0-9.-]/g, '_')}.signing.key`
  for (const path of [file, join(folder, keyName)]) {
    if (existsSync(path)) throw new OperatorError(`${path} is there already, and nothing was written: move it away first.`)
  }
  await writeNew(join(folder, keyName), await newSigningKey(), 0o600)
  const values = { internal_secret: newSecret(), registration_shared_secret: newSecret(), signing_key_path: keyName }
  await writeNew(file, renderSampleConfig({ serverName, values }), 0o600)
  say(`Wrote ${file} and ${join(folder, keyName)}, readable for this user only.`)
  say('Keep a copy of the key: without it the server is another server.')
  say(`Next: set public_baseurl, database and redis there, then 'weft check-config --config ${file}'.`)
}
