import { type ChildProcess, spawn } from 'node:child_process'
import { resolve as absolute, dirname } from 'node:path'
import { createInterface } from 'node:readline'
import type { ConnectionParts } from '../connection.ts'
import { postgresAccount } from './account.ts'
import type { PostgresBinaries } from './binaries.ts'
import { prepareDataFolder, prepareSocketFolder, socketFolder } from './data-folder.ts'
import { clearOrphan, ownerSetting } from './orphan.ts'
import { serverSettings, socketPort } from './settings.ts'
import { watchOver } from './watchdog.ts'

/** Where the server's own lines go; the kernel's Logger is one. */
export interface EmbeddedLog {
  debug(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Which programs serve which folder. */
export interface EmbeddedOptions {
  readonly binaries: PostgresBinaries
  /** Created where it is missing. */
  readonly dataDir: string
  /** Default 100. */
  readonly maxConnections?: number
  /** Default true. False, for tests, loses the data with the machine. */
  readonly fsync?: boolean
  /** A folder to delete when this process dies without stopping the server (of a test run). */
  readonly removeOnDeath?: string
  readonly log?: EmbeddedLog
}

const readyLine = 'database system is ready to accept connections'
/** Backends of a killed server end within moments; until then their shared memory keeps a new one from starting. */
const stillInUse = /pre-existing shared memory block|lock file ".*" already exists/

/**
 * PostgreSQL as a child of this process, reached over a unix socket in a folder closed to other users.
 * It ends with this process, however that dies; one that was left behind all the same is stopped at the next start.
 */
export class EmbeddedPostgres {
  /** To the maintenance database, as the superuser. */
  readonly connection: ConnectionParts
  readonly pid: number
  /** Resolves when the server has ended, to how. */
  readonly exited: Promise<string>
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, socketDir: string, exited: Promise<string>) {
    this.#child = child
    this.pid = child.pid!
    this.exited = exited
    this.connection = connectionIn(socketDir)
  }

  /** @throws Error with the way out, where the folder cannot be used */
  static async start(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
    const dataDir = absolute(options.dataDir)
    const account = postgresAccount()
    const fsync = options.fsync ?? true
    const major = await prepareDataFolder({ binaries: options.binaries, dataDir, account, fsync })
    await clearOrphan(dataDir, options.log)
    const socketDir = await prepareSocketFolder(dataDir, account)
    const settings = serverSettings({ major, socketDir, maxConnections: options.maxConnections ?? 100, fsync })
    const args = ['-D', dataDir, '-c', `${ownerSetting}=${process.pid}`]
    for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`)

    const deadline = performance.now() + 15_000
    for (;;) {
      const child = spawn(options.binaries.postgres, args, {
        ...account,
        cwd: dirname(dataDir),
        // Its own process group: Ctrl-C in a terminal reaches us, and we stop the server last.
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
        // glibc gives the top of the heap back at every chance and takes it again with the next statement: eight brk() calls and
        // their page faults a commit. A megabyte a backend kept, where it was used once.
        env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', MALLOC_TRIM_THRESHOLD_: '1048576', MALLOC_TOP_PAD_: '131072' },
      })
      // From the first moment: this process may be killed while the server still starts.
      const callOff = child.pid === undefined ? () => {} : watchOver(child.pid, options.removeOnDeath)
      const said = await ready(child, options.log).catch((error: unknown) => {
        callOff()
        throw error
      })
      if (said === undefined) {
        const exited = new Promise<string>((resolve) => {
          child.once('exit', (code, signal) => {
            callOff()
            resolve(signal ?? `exit ${code}`)
          })
        })
        return new EmbeddedPostgres(child, socketDir, exited)
      }
      callOff()
      if (!stillInUse.test(said) || performance.now() > deadline) throw new Error(`PostgreSQL did not start on ${dataDir}: ${said}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** Ends all sessions and the server; resolves when it is gone. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGINT')
    // One that stands still (SIGSTOP) hears of it then.
    this.#child.kill('SIGCONT')
    const urge = setTimeout(() => this.#child.kill('SIGQUIT'), 15_000)
    await this.exited
    clearTimeout(urge)
  }
}

/** How to reach the server of a data folder that some process runs, or nobody. @param dataDir absolute */
export function embeddedConnection(dataDir: string): ConnectionParts {
  return connectionIn(socketFolder(dataDir))
}

function connectionIn(socketDir: string): ConnectionParts {
  return { host: socketDir, port: socketPort, user: 'postgres', database: 'postgres' }
}

/** Resolves to undefined when the server accepts connections, or to what it said when it ended instead. */
async function ready(child: ChildProcess, log: EmbeddedLog | undefined): Promise<string | undefined> {
  const said: string[] = []
  return await new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stderr! })
    let started = false
    lines.on('line', (line) => {
      if (!started) {
        said.push(line)
        if (line.includes(readyLine)) {
          started = true
          resolve(undefined)
        }
      }
      if (/^(PANIC|WARNING)/.test(line)) log?.warn({ postgres: line }, 'PostgreSQL says')
      else log?.debug({ postgres: line }, 'PostgreSQL says')
    })
    child.once('error', reject)
    child.once('close', () => resolve(said.join('\n')))
  })
}
