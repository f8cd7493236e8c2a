import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, createWriteStream, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@weft/testkit'
import type { DatabasePlace } from './database-sizes.ts'
import type { Target } from './loadgen.ts'
import { root } from './paths.ts'

const main = join(root, 'apps', 'weft', 'src', 'main.ts')

/** A Weft of its own in a temporary folder, run by the same command as by its users. */
export class Server implements Target {
  readonly folder: string
  readonly base: string
  readonly #child: ChildProcess

  private constructor(folder: string, base: string, child: ChildProcess) {
    this.folder = folder
    this.base = base
    this.#child = child
  }

  /** Starts it and waits until it answers. @param args of `weft start` @param more environment variables */
  static async start(args: readonly string[] = [], more: Readonly<Record<string, string>> = {}): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), 'weft-bench-'))
    // The embedded PostgreSQL runs as another user where this one is root.
    chmodSync(folder, 0o755)
    const port = await freePort()
    const env = { ...process.env, NODE_COMPILE_CACHE: join(root, '.cache', 'node-compile'), ...more }
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
    const child = spawn(process.execPath, ['--max-semi-space-size=8', '--disable-warning=ExperimentalWarning', main, 'start', ...args], {
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

  /** Where its PostgreSQL listens, by the data folder's postmaster.pid. */
  get database(): DatabasePlace {
    const lines = readFileSync(join(this.folder, 'data', 'postgres', 'postmaster.pid'), 'utf8').split('\n')
    return { host: lines[4] as string, port: Number(lines[3]), user: 'postgres', database: 'weft' }
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGTERM')
    await exited
    await rm(this.folder, { recursive: true, force: true })
  }
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
