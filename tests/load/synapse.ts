import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { DatabasePlace } from './database-sizes.ts'
import { shared, type Target } from './loadgen.ts'
import { root } from './paths.ts'
import { ensureVenv } from './venv.ts'

const run = promisify(execFile)
const peers = join(shared, 'peers')
/** Where the peers' own README says that they keep it; another user than this one must get there. */
const home = join(tmpdir(), 'weft-peers')
/** Of the peer scripts, which take any free machine to be theirs. */
const OWNER = 'weft-tests'
const NEEDED = ['/usr/lib/postgresql/15/bin/postgres', '/usr/sbin/nginx', '/usr/bin/redis-server', '/usr/bin/jq', '/usr/bin/psql']

/** Synapse with the workers of ../shared/peers, on an empty database. */
export class SynapseWorkers implements Target {
  readonly base = 'http://127.0.0.1:8102'
  readonly folder = home
  readonly #environment: Record<string, string>
  readonly #keep: boolean
  #pids: readonly string[] = []

  private constructor(environment: Record<string, string>, keep: boolean) {
    this.#environment = environment
    this.#keep = keep
  }

  /**
   * Starts it on an empty database.
   * @param options.keep leaves its data when it stops; `fresh: false` goes on with that
   * @throws Error that names what this machine lacks
   */
  static async start(
    options: { readonly fresh?: boolean; readonly keep?: boolean; readonly bcryptRounds?: number } = {},
  ): Promise<SynapseWorkers> {
    const missing = NEEDED.filter((program) => !existsSync(program))
    if (missing.length > 0) {
      throw new Error(
        `for Synapse with workers: apt-get install postgresql redis-server nginx-light jq curl libpq-dev (no ${missing.join(', ')})`,
      )
    }
    const oracle = join(root, 'packages', 'matrix', 'test', 'oracle', 'requirements.txt')
    const venv = await ensureVenv('synapse-workers', oracle, join(import.meta.dirname, 'synapse-workers.requirements.txt'))
    await mkdir(home, { recursive: true, mode: 0o755 })
    const rounds = options.bcryptRounds === undefined ? {} : { BCRYPT_ROUNDS: String(options.bcryptRounds) }
    const environment = { ...process.env, PEERS_HOME: home, SYNAPSE_VENV: venv, PEER_OWNER: OWNER, ...rounds } as Record<string, string>
    const synapse = new SynapseWorkers(environment, options.keep === true)
    // Its processes are in sessions of their own: whoever ends this one does not reach them.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void synapse.stop().finally(() => process.exit(143)))
    try {
      await synapse.#peer('pg.sh', 'start')
      await synapse.#peer('synapse-workers.sh', options.fresh === false ? 'stop' : 'reset')
      await synapse.#peer('synapse-workers.sh', 'start')
      synapse.#pids = (await synapse.#peer('synapse-workers.sh', 'pids')).trim().split('\n')
      return synapse
    } catch (error) {
      await synapse.stop()
      throw error
    }
  }

  procstat(): string {
    const first = (file: string) => readFileSync(join(home, file), 'utf8').split(/\s/)[0]
    return `server=${this.#pids.join(',')};postgres=${first('pg/data/postmaster.pid')}+;redis=${first('run/synapse-workers.redis.pid')}`
  }

  /** Where its PostgreSQL listens. */
  get database(): DatabasePlace {
    return { host: '127.0.0.1', port: 5544, user: 'postgres', database: 'synapse_workers' }
  }

  async stop(): Promise<void> {
    await this.#peer('synapse-workers.sh', 'stop')
    await this.#peer('pg.sh', 'stop')
    if (!this.#keep) await SynapseWorkers.forget()
  }

  /** Deletes what a start with `keep` has left. */
  static async forget(): Promise<void> {
    await rm(home, { recursive: true, force: true })
  }

  async #peer(script: string, action: string): Promise<string> {
    const { stdout } = await run(join(peers, script), [action], { env: this.#environment })
    return stdout
  }
}
