import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderTryOutConfig } from '@weft/kernel'
import { formatSigningKeyFile } from '@weft/matrix'
import { readStoredPositions } from '@weft/replication'
import { connectionUrl } from '@weft/storage'
import { directSender, type Sender, TestClient } from './cluster-client.ts'
import { Follower, type FollowerOptions } from './cluster-follower.ts'
import { type ClusterClass, ClusterProcess } from './cluster-process.ts'
import { freePort } from './free-port.ts'
import { startRedis, type TestRedis } from './redis.ts'
import { type TestDatabase, testDatabase } from './test-database.ts'

/** Which processes there are, and how they are configured. */
export interface TestClusterOptions {
  readonly layout: 'single' | 'split'
  /** How many processes of a class there are in `split`; one by default. */
  readonly sync?: number
  readonly writers?: number
  readonly routers?: number
  /** A database on another server than the run's; closed with the cluster. */
  readonly database?: TestDatabase
  /** More settings of homeserver.yaml, by top-level key. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Rate limits as they are by default, rather than off. */
  readonly rateLimits?: boolean
  /** What runs a class: the arguments of `node`. The testkit knows no app. */
  readonly program: (of: ClusterClass, configPath: string) => readonly string[]
}

const SERVER_NAME = 'weft.test'
const SETTLE_MS = 30_000

/**
 * A server in either layout, of real OS processes on a database of its own and, in `split`, a Redis of its own. It listens on free
 * ports of the loopback, and goes with the test's process. Throws RedisUnavailable where `split` cannot have one.
 */
export class TestCluster implements AsyncDisposable {
  readonly layout: 'single' | 'split'
  readonly serverName = SERVER_NAME
  readonly secret: string
  readonly sharedSecret: string
  readonly database: TestDatabase
  /** Absent in `single`. */
  readonly redis: TestRedis | undefined
  readonly processes: readonly ClusterProcess[]
  /** Where clients reach it: the one process, or each router. */
  readonly urls: readonly string[]
  readonly #folder: string
  readonly #senders: readonly Sender[]
  readonly #followers: Follower[] = []
  #clients = 0

  private constructor(
    parts: Pick<TestCluster, 'layout' | 'secret' | 'sharedSecret' | 'database' | 'redis' | 'processes' | 'urls'> & {
      readonly folder: string
    },
  ) {
    this.layout = parts.layout
    this.secret = parts.secret
    this.sharedSecret = parts.sharedSecret
    this.database = parts.database
    this.redis = parts.redis
    this.processes = parts.processes
    this.urls = parts.urls
    this.#folder = parts.folder
    this.#senders = parts.urls.map((url) => directSender(url))
  }

  /** Starts all processes and resolves when the server answers. @throws RedisUnavailable */
  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const { layout } = options
    const redis = layout === 'split' ? await startRedis() : undefined
    const database = options.database ?? (await testDatabase())
    const folder = mkdtempSync(join(tmpdir(), 'weft-cluster-'))
    const secret = randomBytes(24).toString('base64url')
    const sharedSecret = randomBytes(24).toString('base64url')
    const ports: number[] = []
    for (let i = 0; i < (layout === 'single' ? 1 : (options.routers ?? 1)); i++) ports.push(await freePort())
    const configPath = join(folder, 'homeserver.yaml')
    const settings = Object.entries(options.settings ?? {})
    await writeFile(join(folder, 'signing.key'), formatSigningKeyFile([{ keyId: 'ed25519:test', seed: randomBytes(32) }]))
    const text = renderTryOutConfig({
      serverName: SERVER_NAME,
      port: ports[0] as number,
      internalSecret: secret,
      registrationSharedSecret: sharedSecret,
      signingKeyPath: 'signing.key',
      values: {
        database: { url: connectionUrl(database.connection) },
        ...(redis === undefined ? {} : { redis: { enabled: true, url: redis.url } }),
        log: { level: 'info', format: 'json' },
        ...Object.fromEntries(settings.filter(([key]) => !isLimit(key))),
      },
    })
    // Every rc_ line of the generated file switches a limit off; without them the defaults hold.
    const limits = settings.filter(([key]) => isLimit(key))
    const base = options.rateLimits
      ? without(text, ['rc_\\w+'])
      : without(
          text,
          limits.map(([key]) => key),
        )
    await writeFile(configPath, base + limits.map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`).join(''))
    const make = (of: ClusterClass, index: number, port = 0): ClusterProcess =>
      new ClusterProcess({
        class: of,
        name: `${of}-${index + 1}`,
        args: options.program(of, configPath),
        env: { ...(of === 'single' ? {} : { WEFT_PROCESS__PORT: String(port) }), WEFT_PROCESS__HEALTH_PORT: '0' },
        cwd: folder,
      })
    const processes =
      layout === 'single'
        ? [make('single', 0)]
        : [
            ...many(options.writers, (i) => make('writer', i)),
            ...many(options.sync, (i) => make('sync', i)),
            ...many(options.routers, (i) => make('router', i, ports[i])),
          ]
    const urls = ports.map((port) => `http://127.0.0.1:${port}`)
    const cluster = new TestCluster({ layout, secret, sharedSecret, database, redis, processes, urls, folder })
    try {
      await Promise.all(processes.map((process) => process.start()))
      await cluster.call('GET', '/_matrix/client/versions')
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  /** The processes of a class, in the order of their numbers. */
  of(wanted: ClusterClass): ClusterProcess[] {
    return this.processes.filter((process) => process.class === wanted)
  }

  /** The writer that writes now. @throws Error when none says so */
  writer(): ClusterProcess {
    const writers = this.layout === 'single' ? this.processes : this.of('writer')
    const active = writers.filter((one) => one.running).map((one) => ({ one, epoch: epochOf(one) }))
    const newest = active.reduce((a, b) => (b.epoch > a.epoch ? b : a))
    if (newest.epoch === 0) throw new Error('no writer has taken over')
    return newest.one
  }

  /** The writers that wait for their turn. */
  standbys(): ClusterProcess[] {
    const active = this.writer()
    return this.of('writer').filter((one) => one.running && one !== active)
  }

  /** A way in; callers take turns between the routers. */
  sender(): Sender {
    return this.#senders[this.#clients++ % this.#senders.length] as Sender
  }

  /** A request without an account. */
  call(method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) {
    return this.sender()(method, path, body, headers === undefined ? {} : { headers })
  }

  register(localpart: string): Promise<TestClient> {
    return TestClient.register(this.sender(), localpart)
  }

  login(user: string, options: { readonly deviceId?: string; readonly password?: string } = {}): Promise<TestClient> {
    return TestClient.login(this.sender(), user, options)
  }

  /** A sync loop that ends with the cluster. */
  async follow(client: TestClient, options: FollowerOptions = {}): Promise<Follower> {
    const follower = await Follower.start(client, options)
    this.#followers.push(follower)
    return follower
  }

  /** Resolves once every reader has come to where every stream was when it was asked: what was answered before is seen everywhere. */
  async settle(): Promise<void> {
    const stored = await readStoredPositions(this.database.db, 'writer')
    const deadline = performance.now() + SETTLE_MS
    for (const reader of this.processes.filter((one) => one.running && (one.class === 'sync' || one.class === 'single'))) {
      for (;;) {
        const positions = (await reader.metrics()).by('weft_replication_position', 'stream')
        const behind = [...stored].filter(([stream, position]) => (positions.get(stream) ?? position) < position)
        if (positions.size > 0 && behind.length === 0) break
        if (performance.now() > deadline) throw new Error(`${reader.name} stays behind: ${JSON.stringify(behind)}\n${reader.tail()}`)
      }
    }
  }

  /** Log lines at level error, of all processes and starts: a server that does its work writes none. */
  errors(): string[] {
    return this.processes.flatMap((one) =>
      one.lines.filter((line) => line.level === 'error').map((line) => `${one.name}: ${JSON.stringify(line)}`),
    )
  }

  async stop(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.stop()))
    await Promise.all(this.processes.map((process) => process.stop()))
    await this.redis?.stop()
    await this.database.close()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

function many<T>(count: number | undefined, make: (index: number) => T): T[] {
  return Array.from({ length: count ?? 1 }, (_, index) => make(index))
}

/** The epoch in which this start of a process became the writer; 0 for a standby. */
function epochOf(process: ClusterProcess): number {
  const line = process.linesOfThisStart.findLast((one) => one.msg === 'this process is the writer')
  return line === undefined ? 0 : Number(line.epoch)
}

function isLimit(key: string): boolean {
  return key.startsWith('rc_')
}

function without(text: string, keys: readonly string[]): string {
  return keys.length === 0 ? text : text.replaceAll(new RegExp(`^(${keys.join('|')}):.*\n( .*\n)*`, 'gm'), '')
}
