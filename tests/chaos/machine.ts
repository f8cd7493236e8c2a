import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, isFree } from '@weft/testkit'
import { Redis } from 'ioredis'

const root = join(import.meta.dirname, '..', '..')
const main = join(root, 'apps', 'weft', 'src', 'main.ts')
const START_MS = 120_000
const WAIT_MS = 30_000

interface Line {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

/** `weft start --split` as a person runs it, in a folder of its own, and a hand on each of its processes. */
export class Machine implements AsyncDisposable {
  /** Of the routers. */
  readonly urls: readonly string[]
  readonly #folder: string
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #lines: Line[] = []
  #looked = 0
  #rest = ''
  #other = ''

  private constructor(folder: string, urls: readonly string[], child: ChildProcess) {
    this.#folder = folder
    this.urls = urls
    this.#child = child
    this.#exited = new Promise((resolve) => child.once('exit', resolve))
    const hear = (text: string) => this.#hear(text)
    child.stdout?.setEncoding('utf8').on('data', hear)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#other = (this.#other + text).slice(-8000)
    })
  }

  /** Starts it, and waits until it says how to begin. @param replicas as on the command line */
  static async start(replicas: string): Promise<Machine> {
    const folder = mkdtempSync(join(tmpdir(), 'weft-chaos-'))
    // The embedded PostgreSQL runs as another user where this one is root.
    chmodSync(folder, 0o755)
    const routers = Number(/router=(\d+)/.exec(replicas)?.[1] ?? 1)
    const port = await freePorts(routers)
    const flags = ['--import', join(root, 'tooling', 'end-with-parent.mjs'), '--disable-warning=ExperimentalWarning']
    const child = spawn(process.execPath, [...flags, main, 'start', '--split', '--replicas', replicas], {
      cwd: folder,
      env: {
        ...process.env,
        NODE_COMPILE_CACHE: join(root, '.cache', 'compiled'),
        WEFT_LISTENERS__0__PORT: String(port),
        WEFT_LOG__FORMAT: 'json',
        WEFT_LOG__LEVEL: 'info',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const urls = Array.from({ length: routers }, (_, i) => `http://127.0.0.1:${port + i}`)
    const machine = new Machine(folder, urls, child)
    try {
      await machine.until('weft says how to begin', () => machine.#other.includes('Processes:'), START_MS)
    } catch (error) {
      await machine.stop()
      throw new Error(`${error}\n${machine.tail()}`)
    }
    return machine
  }

  /** The process id of a child of the supervisor: `sync-1`, `redis`. @throws Error while it does not run */
  pid(name: string): number {
    const pid = this.#pids()[name]
    if (typeof pid !== 'number') throw new Error(`${name} does not run`)
    return pid
  }

  /** The child that writes now. */
  writer(): { readonly name: string; readonly pid: number; readonly instance: string } {
    const line = this.#lines.findLast((one) => one.msg === 'this process is the writer')
    const instance = String(line?.instance)
    const pid = Number(this.#lines.findLast((one) => one.msg === 'health server listens' && one.instance === instance)?.pid)
    const name = Object.entries(this.#pids()).find(([, running]) => running === pid)?.[0]
    if (name === undefined) throw new Error(`${instance} is the writer and does not run`)
    return { name, pid, instance }
  }

  /** Resolves once the supervisor has another process in the place of `before`, and that one is ready. */
  async replaced(name: string, before: number): Promise<void> {
    await this.until(`${name} is started again`, async () => {
      const pid = this.#pids()[name]
      if (typeof pid !== 'number' || pid === before) return false
      // PostgreSQL and Redis are listed when they answer.
      return /^(postgres|redis)$/.test(name) || (await this.#isReady(pid))
    })
  }

  /** Resolves once a process that was the writer has said that it is the writer no more. */
  async standsBy(instance: string): Promise<void> {
    const said = (line: Line) => line.instance === instance && line.msg === 'this process is the writer no more: it stands by'
    await this.until(`${instance} stands by`, () => this.#lines.some(said))
  }

  /** The Redis that it started. */
  redis(): Redis {
    return new Redis({ path: join(this.#folder, 'data', 'redis', 'redis.sock') })
  }

  /** Resolves once `holds`, which is asked every few milliseconds: it looks at what other processes do. @throws Error that names `what` */
  async until(what: string, holds: () => boolean | Promise<boolean>, withinMs = WAIT_MS): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!(await holds())) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error('weft has ended')
      if (performance.now() > deadline) throw new Error(`never: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Lines since the last call that no outage explains: errors of the programs themselves. */
  bugs(): string[] {
    const lines = this.#lines.slice(this.#looked)
    this.#looked = this.#lines.length
    return lines.filter((line) => line.level === 'error').map((line) => JSON.stringify(line))
  }

  /** The end of all logs. */
  tail(): string {
    return [...this.#lines.slice(-20).map((line) => JSON.stringify(line)), this.#other.slice(-1000)].join('\n')
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#exited
    await rm(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #isReady(pid: number): Promise<boolean> {
    const url = this.#lines.findLast((line) => line.msg === 'health server listens' && line.pid === pid)?.url
    return (
      url !== undefined &&
      (await fetch(`${url}/ready`).then(
        (response) => response.ok,
        () => false,
      ))
    )
  }

  #pids(): Record<string, number | null> {
    const file = join(this.#folder, 'data', 'processes.json')
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, number | null>) : {}
  }

  #hear(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      if (!line.startsWith('{')) {
        this.#other = `${this.#other}${line}\n`.slice(-8000)
        continue
      }
      const parsed = parse(line)
      // Answered requests are most of it, and say nothing here.
      if (parsed !== undefined && parsed.msg !== 'request') this.#lines.push(parsed)
    }
  }
}

function parse(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line
  } catch {
    // The last words of a process that was killed while it wrote, and another's behind them.
    return undefined
  }
}

/** The first of `count` ports in a row that nothing listens on. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = await freePort()
    const others = await Promise.all(Array.from({ length: count - 1 }, (_, i) => isFree(first + 1 + i)))
    if (others.every(Boolean)) return first
  }
}
