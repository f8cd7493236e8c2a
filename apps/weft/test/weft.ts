import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bell, commandLines, isRunning } from '@weft/testkit'

const root = join(import.meta.dirname, '..', '..', '..')
const main = join(root, 'apps', 'weft', 'src', 'main.ts')
const WAIT_MS = 55_000

export type Environment = Readonly<Record<string, string>>

export interface WeftOptions {
  readonly cwd?: string
  readonly env?: Environment
}

/** What a command that has ended said. */
export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs a command of weft to its end, without a terminal. */
export function weft(args: readonly string[], options: WeftOptions = {}): Promise<Ended> {
  return new Weft(args, options).ended
}

const running = new Set<Weft>()

/** Ends what a test that failed has left running. */
export async function endAll(): Promise<void> {
  for (const one of running) one.signal('SIGTERM')
  await Promise.all([...running].map((one) => one.ended))
}

/** A folder of a test's own that the embedded PostgreSQL can reach. */
export function temporaryFolder(): { readonly path: string; remove(): Promise<void> } {
  const path = mkdtempSync(join(tmpdir(), 'weft-cli-'))
  chmodSync(path, 0o755)
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** A command of weft that runs. */
export class Weft {
  readonly pid: number
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  readonly #bell = new Bell()
  #out = ''
  #err = ''

  constructor(args: readonly string[], { cwd, env }: WeftOptions = {}) {
    this.#child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
      ...(cwd !== undefined && { cwd }),
      env: { ...bareEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.pid = this.#child.pid as number
    running.add(this)
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text
      this.#bell.ring()
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#err += text
      this.#bell.ring()
    })
    this.ended = new Promise((resolve) =>
      this.#child.once('close', (code) => {
        running.delete(this)
        resolve({ code, out: this.#out, err: this.#err })
        this.#bell.ring()
      }),
    )
  }

  /** What it has said so far. */
  get out(): string {
    return this.#out
  }

  /** Reads no more of its standard output: what it writes finds nobody there. */
  leave(): void {
    this.#child.stdout?.destroy()
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Resolves once what it said on standard output matches. @throws Error with all it said when it ends before, or never says it */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const deadline = performance.now() + WAIT_MS
    for (;;) {
      const match = pattern.exec(this.#out)
      if (match !== null) return match
      const left = deadline - performance.now()
      const over = this.#child.exitCode !== null || this.#child.signalCode !== null
      if (over || left <= 0) throw new Error(`it never said ${pattern}:\n${this.#out}\n${this.#err}`)
      await this.#bell.next(left)
    }
  }

  /** Stops it as Ctrl-C does. */
  async stop(): Promise<Ended> {
    this.signal('SIGINT')
    return await this.ended
  }
}

/** Processes whose command line names a folder: all that a weft with its data there has started. */
export function processesOf(folder: string): string[] {
  const lines = [...commandLines()].map(([pid, words]) => [pid, ...words].join(' '))
  return lines.filter((line) => line.includes(folder))
}

/** Resolves once none of the processes runs. The test's time limit is the bound. */
export async function gone(pids: readonly number[]): Promise<void> {
  while (pids.some(isRunning)) await new Promise((resolve) => setImmediate(resolve))
}

/** This process's environment without settings of a server, and with a place for compiled code. */
function bareEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !/^(WEFT_|DATABASE_URL$|REDIS_URL$|NODE_OPTIONS$)/.test(entry[0]),
  )
  return { NODE_COMPILE_CACHE: join(root, '.cache', 'compiled'), ...Object.fromEntries(kept) }
}
