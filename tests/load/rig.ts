import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { chmodSync, createWriteStream, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..', '..')
const main = join(root, 'apps', 'weft', 'src', 'main.ts')
/** The load generator and the peers stand beside the repository, as in this project's workplaces. */
export const shared = process.env.WEFT_SHARED ?? join(root, '..', 'shared')

/** A Weft of its own in a temporary folder, run by the same command as by its users. */
export class Server {
  readonly folder: string
  readonly base: string
  readonly #child: ChildProcess

  private constructor(folder: string, base: string, child: ChildProcess) {
    this.folder = folder
    this.base = base
    this.#child = child
  }

  /** Starts it and waits until it answers. @param args of `weft start` */
  static async start(args: readonly string[] = []): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'))
    // The embedded PostgreSQL runs as another user where this one is root.
    chmodSync(folder, 0o755)
    const port = await freePort()
    const env = { ...process.env, NODE_COMPILE_CACHE: join(root, '.cache', 'node-compile') }
    const config = join(folder, 'homeserver.yaml')
    execFileSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const m = await import(${JSON.stringify(join(root, 'apps', 'weft', 'src', 'first-config.ts'))}); await m.ensureTryOutConfig(${JSON.stringify(config)})`,
      ],
      { env, stdio: ['ignore', 'ignore', 'inherit'] },
    )
    // The generated file unchanged, but for a port that is free on this machine.
    await writeFile(config, readFileSync(config, 'utf8').replaceAll('8008', String(port)))
    const log = createWriteStream(join(folder, 'weft.log'))
    const child = spawn(process.execPath, ['--max-semi-space-size=4', '--disable-warning=ExperimentalWarning', main, 'start', ...args], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout?.pipe(log)
    child.stderr?.pipe(log)
    const server = new Server(folder, `http://127.0.0.1:${port}`, child)
    const deadline = performance.now() + 120_000
    for (;;) {
      const ok = await fetch(`${server.base}/_matrix/client/versions`).then(
        (response) => response.ok,
        () => false,
      )
      if (ok) return server
      if (performance.now() > deadline || child.exitCode !== null) throw new Error(`weft did not start:\n${server.log.slice(-3000)}`)
      await pause(50)
    }
  }

  get log(): string {
    return readFileSync(join(this.folder, 'weft.log'), 'utf8')
  }

  /** Process ids by class: `{ writer: [12], sync: [13, 14], postgres: [9], redis: [10], router: [15] }`, or `{ single: [8] }`. */
  pids(): Record<string, number[]> {
    const file = join(this.folder, 'data', 'processes.json')
    if (!existsSync(file)) return { single: [this.#child.pid as number] }
    const groups: Record<string, number[]> = {}
    for (const [name, pid] of Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, number | null>)) {
      const group = name.replace(/-\d+$/, '')
      groups[group] ??= []
      if (pid !== null) groups[group].push(pid)
    }
    return groups
  }

  /** The health servers of all processes of a class, by the log. */
  healthUrls(processClass: string): string[] {
    const pattern = new RegExp(`${processClass}-[0-9a-f]+ health server listens url=(\\S+)`, 'g')
    return [...this.log.matchAll(pattern)].map((match) => match[1] as string)
  }

  /** What the load generator's -procstat takes. */
  procstat(): string {
    return Object.entries(this.pids())
      .map(([name, pids]) => `${name}=${pids.map((pid) => (name === 'postgres' || name === 'single' ? `${pid}+` : String(pid))).join(',')}`)
      .join(';')
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGTERM')
    await exited
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** A report of the load generator, as far as the bench reads it. */
export interface Report {
  readonly ok: boolean
  readonly result: Record<string, never>
  readonly work: Record<string, number>
  readonly processes: Record<string, { readonly cpu_seconds: number; readonly cpu_ms_per: Record<string, number> }>
  readonly problems?: readonly string[]
}

const run = promisify(execFile)

/** Runs a scenario of ../shared/loadgen, built on first use. */
export async function loadgen(scenario: string, server: Server, args: readonly string[]): Promise<Report> {
  const program = join(root, '.cache', 'loadgen')
  if (!existsSync(program)) await run('go', ['build', '-o', program, '.'], { cwd: join(shared, 'loadgen') })
  const out = join(server.folder, `${scenario}.json`)
  await run(program, [scenario, '-base', server.base, '-procstat', server.procstat(), '-json', out, ...args])
  return JSON.parse(readFileSync(out, 'utf8')) as Report
}

/** The sequential latency probe of ../shared/peers. */
export async function probe(server: Server): Promise<{ send: { median: number }; wake_send: { median: number } }> {
  const program = join(shared, 'peers', 'probe.py')
  const { stdout } = await run('python3', [program, server.base, '--sends', '300', '--wakes', '150'])
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}

/** CPU milliseconds of all Weft processes, PostgreSQL and Redis for one unit of work. */
export function cpuPer(report: Report, unit: string): number {
  return Object.values(report.processes).reduce((sum, group) => sum + (group.cpu_ms_per[unit] ?? 0), 0)
}

/** Proportional set size of a process and all it started, in MB. */
export function pssMb(pid: number): number {
  let kb = 0
  for (const one of family(pid)) {
    const match = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, 'utf8'))
    kb += Number(match?.[1] ?? 0)
  }
  return kb / 1024
}

/** CPU seconds that a process has used. */
export function cpuSeconds(pid: number): number {
  const fields = (readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1] as string).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function family(pid: number): number[] {
  const pids = [pid]
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim()
    if (children !== '') for (const child of children.split(' ')) pids.push(...family(Number(child)))
  }
  return pids
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
