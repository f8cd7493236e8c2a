import { join } from 'node:path'
import { OperatorError } from '@weft/kernel'
import { Database, isConnectionError, migrate, migrationStatus } from '@weft/storage'

/** prisma/migrations of this release. */
export const migrationsDir = join(import.meta.dirname, '..', '..', '..', 'prisma', 'migrations')

/** Brings a database to this release. @throws OperatorError that says why it cannot be used */
export function migrateUrl(url: string): Promise<readonly string[]> {
  return withDatabaseOf(url, 'weft migrate', (db) => migrate(db, { dir: migrationsDir }))
}

/**
 * Refuses a database that this release cannot run on: one that lacks its migrations, or has a breaking one of a newer release.
 * @throws OperatorError that says what to do
 */
export async function requireMigrated(url: string): Promise<void> {
  const { pending } = await withDatabaseOf(url, 'weft run', (db) => migrationStatus(db, { dir: migrationsDir }))
  if (pending.length > 0) {
    throw new OperatorError(
      `the database lacks ${pending.length} migrations of this release, the first is ${pending[0]}. Run 'weft migrate'.`,
    )
  }
}

/** Uses a database for a command, with connections of its own. @throws OperatorError where it cannot be reached */
export async function withDatabaseOf<T>(url: string, applicationName: string, use: (db: Database) => Promise<T>): Promise<T> {
  const db = new Database({ connection: url, applicationName, poolSize: 2 })
  try {
    return await use(db)
  } catch (error) {
    if (!isConnectionError(error)) throw error
    throw new OperatorError(`the database cannot be used: ${error.message}. Look whether it runs, and at 'database' in homeserver.yaml.`, {
      cause: error,
    })
  } finally {
    await db.close()
  }
}
