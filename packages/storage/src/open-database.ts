import type { ProcessContext } from '@weft/kernel'
import { Database } from './database.ts'

/** The pool of a process; PostgreSQL knows the process by its instance name. */
export function openDatabase({ config, log, metrics, instance }: ProcessContext): Database {
  if (config.database === undefined) throw new Error('no database is configured: set `database`')
  const { url, pool_size } = config.database
  return new Database({ connection: url, applicationName: `weft ${instance}`, poolSize: pool_size, log, metrics })
}
