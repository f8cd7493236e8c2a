import { loadConfig } from '@weft/kernel'
import { UsageError } from '../cli.ts'
import { migrateUrl } from '../embedded-database.ts'
import { say } from '../say.ts'

/** `weft migrate`: for a database that is not the embedded one. */
export async function migrateDatabase(options: { readonly config?: string }): Promise<void> {
  const config = loadConfig({ path: options.config ?? process.env.WEFT_CONFIG, env: process.env, requires: [] })
  if (config.database === undefined) throw new UsageError('no database is configured: `weft start` migrates its embedded one by itself')
  const applied = await migrateUrl(config.database.url)
  say(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`)
}
