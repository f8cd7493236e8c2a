import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { type Config, createLogger, formatProblem, type Logger, listenError, loadConfig, OperatorError, onStopSignals } from '@weft/kernel'
import { EmbeddedRedis, findRedisProgram } from '@weft/replication'
import { startEmbeddedDatabase } from '../embedded-database.ts'
import { say, sayHowToBegin, urlOf } from '../say.ts'
import { migrateUrl } from '../schema.ts'
import { Supervised } from '../supervised.ts'
import type { ReplicaCounts } from '../usage.ts'
import { startClassProcess } from './class-process.ts'

const DEFAULT_COUNTS = { router: 1, writer: 1, sync: 1 } as const
/** Grace beyond the processes' own shutdown deadline, in ms. */
const GRACE_MS = 5000

/**
 * `weft start --split`: every class as processes of their own on this machine, with Redis and PostgreSQL. All are children of this
 * process, which restarts what dies and ends all of it.
 */
export async function startSplit(path: string, counts: ReplicaCounts): Promise<void> {
  const warnings: string[] = []
  const config = loadConfig({
    path,
    env: process.env,
    requires: ['internal_secret', 'signing_key'],
    onWarning: (warning) => warnings.push(formatProblem(warning)),
  })
  const log = createLogger(config.log)
  for (const warning of warnings) log.warn({}, warning)
  const machine = new Machine(path, config, log)
  onStopSignals({
    stop(signal) {
      log.info({ reason: signal }, 'stopping all processes')
      void machine.stop().then(() => process.exit(0))
    },
    end(signal) {
      log.warn({ signal }, 'told to stop twice: ending at once')
      process.exit(1)
    },
  })
  try {
    await machine.start({ ...DEFAULT_COUNTS, ...counts })
  } catch (error) {
    // Told to stop while it starts: the handler above ends the process.
    if (machine.stopping) return
    await machine.stop()
    throw error
  }
  sayHowToBegin(config)
  const routers = machine.routerPorts
  if (routers.length > 1) say(`  Routers on ports ${routers.join(', ')}.`)
  say(`  Processes:    ${machine.listFile}`)
  say('')
  // The children keep this process alive; it ends by a signal.
}

/** The processes of one machine, in the order in which they need each other. */
class Machine {
  readonly listFile: string
  readonly routerPorts: number[] = []
  readonly #path: string
  readonly #config: Config
  readonly #log: Logger
  readonly #dataDir: string
  readonly #stores: Supervised[] = []
  readonly #classes: Supervised[] = []
  readonly #abort = new AbortController()
  #started: Promise<void> | undefined
  /** The list is this one's: another weft that runs in the folder keeps its own. */
  #listed = false
  #listing: Promise<void> = Promise.resolve()

  constructor(path: string, config: Config, log: Logger) {
    this.#path = path
    this.#config = config
    this.#log = log
    this.#dataDir = resolve(dirname(path), config.data_dir)
    this.listFile = join(this.#dataDir, 'processes.json')
  }

  /** It was told to stop. */
  get stopping(): boolean {
    return this.#abort.signal.aborted
  }

  /** @throws Error when something cannot be started, or it is told to stop before all of it was */
  async start(counts: Readonly<Record<'router' | 'writer' | 'sync', number>>): Promise<void> {
    this.#started = this.#begin(counts)
    await this.#started
  }

  async #begin(counts: Readonly<Record<'router' | 'writer' | 'sync', number>>): Promise<void> {
    const url = new URL(urlOf(this.#config))
    const firstPort = Number(url.port)
    // Before anything is started: a router could only die of it, again and again.
    for (let i = 0; i < counts.router; i++) await requireFree(url.hostname.replace(/^\[(.*)\]$/, '$1'), firstPort + i)
    const env = { ...(await this.#database()), ...(await this.#redis()) }
    for (const name of ['writer', 'sync', 'router'] as const) {
      for (let i = 1; i <= counts[name]; i++) {
        const port = name === 'router' ? firstPort + i - 1 : 0
        if (name === 'router') this.routerPorts.push(port)
        await this.#class(name, `${name}-${i}`, { ...env, WEFT_PROCESS__PORT: String(port), WEFT_PROCESS__HEALTH_PORT: '0' })
      }
    }
    await answering(`${url.origin}/_matrix/client/versions`, this.#abort.signal)
  }

  /** Ends all of it, processes before what they stand on. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error('told to stop'))
    // What is being started right now is ours to end, too.
    await this.#started?.catch(() => undefined)
    await Promise.all(this.#classes.map((child) => child.stop()))
    for (const store of this.#stores.reverse()) await store.stop()
    await this.#listing
    if (this.#listed) await rm(this.listFile, { force: true })
  }

  async #class(kind: string, name: string, env: Readonly<Record<string, string>>): Promise<void> {
    const deadlineMs = this.#config.process.shutdown_deadline + GRACE_MS
    const launch = () =>
      startClassProcess({ class: kind, configPath: this.#path, env, deadlineMs, compileCache: join(this.#dataDir, 'compiled') })
    const child = new Supervised({ name, launch, log: this.#log, onChange: () => this.#list() })
    this.#abort.signal.throwIfAborted()
    this.#classes.push(child)
    await child.start()
  }

  async #database(): Promise<Record<string, string>> {
    const { database } = this.#config
    if (database !== undefined) {
      await migrateUrl(database.url)
      return {}
    }
    let url = ''
    const launch = async () => {
      const embedded = await startEmbeddedDatabase(this.#dataDir, this.#log)
      url = embedded.url
      return embedded.server
    }
    await this.#store('postgres', launch)
    await migrateUrl(url)
    return { WEFT_DATABASE__URL: url }
  }

  async #redis(): Promise<Record<string, string>> {
    if (this.#config.redis !== undefined) return {}
    const folder = join(this.#dataDir, 'redis')
    let program: string
    try {
      program = await findRedisProgram(join(this.#dataDir, '..', '.cache', 'valkey'), say, this.#abort.signal)
    } catch (error) {
      this.#abort.signal.throwIfAborted()
      throw new OperatorError(error instanceof Error ? error.message : String(error), { cause: error })
    }
    await mkdir(folder, { recursive: true })
    await this.#store('redis', () => EmbeddedRedis.start({ program, folder }))
    return { WEFT_REDIS__ENABLED: 'true', WEFT_REDIS__URL: EmbeddedRedis.socketOf(folder) }
  }

  async #store(name: string, launch: ConstructorParameters<typeof Supervised>[0]['launch']): Promise<void> {
    const store = new Supervised({ name, launch, log: this.#log, onChange: () => this.#list() })
    this.#abort.signal.throwIfAborted()
    this.#stores.push(store)
    await store.start()
  }

  /** Writes which processes run, for people and scripts: name to pid. */
  #list(): void {
    this.#listed = true
    const pids = Object.fromEntries([...this.#stores, ...this.#classes].map((child) => [child.name, child.pid ?? null]))
    this.#listing = this.#listing
      .then(async () => {
        await writeFile(`${this.listFile}.new`, `${JSON.stringify(pids)}\n`)
        await rename(`${this.listFile}.new`, this.listFile)
      })
      .catch((err) => this.#log.warn({ err }, 'the list of processes could not be written'))
  }
}

/** @throws OperatorError when another program listens there, or this user may not */
async function requireFree(host: string, port: number): Promise<void> {
  const probe = createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (error) => {
      const told = listenError(error, { host, port, setting: '`listeners`' })
      // What else is wrong with the address, the router tells.
      if (told instanceof OperatorError) reject(told)
      else resolve()
    })
    probe.listen(port, host, () => probe.close(() => resolve()))
  })
}

/** Resolves once something answers there with 200. @throws Error after a minute, or the signal's reason */
async function answering(url: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const ok = await fetch(url, { signal }).then(
      (response) => response.ok,
      () => false,
    )
    if (ok) return
    signal.throwIfAborted()
    if (performance.now() > deadline) throw new Error(`nothing answers at ${url}: see the log above`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
