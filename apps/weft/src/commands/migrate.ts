import { loadConfig, OperatorError } from '@weft/kernel'
import { say } from '../say.ts'
import { migrateUrl } from '../schema.ts'
import { configPath } from '../usage.ts'

/** `weft migrate`: for a database that is not the embedded one. */
export async function migrateDatabase(options: { readonly config?: string }): Promise<void> {
  const config = loadConfig({ path: configPath(options.config), env: process.env, requires: [] })
  if (config.database === undefined) {
    throw new OperatorError(
      'no database is configured: give `database.url`, or $DATABASE_URL. `weft start` migrates its embedded one by itself.',
    )
  }
  const applied = await migrateUrl(config.database.url)
  say(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`)
}
