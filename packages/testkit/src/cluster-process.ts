import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { watchOver } from '@weft/storage'
import { Bell } from './bell.ts'
import { root } from './postgres.ts'
import { parseMetrics } from './prometheus.ts'

/** What a process of a cluster is: one class, or all of them. */
export type ClusterClass = 'single' | 'router' | 'writer' | 'sync'

/** A line of a process's log. */
export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export interface ClusterProcessOptions {
  readonly class: ClusterClass
  /** For people: `sync-2`. The instance name is the process's own, new with each start. */
  readonly name: string
  /** What follows `node` on the command line. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** A folder of the cluster's own: it goes with the process when this one dies without stopping it. */
  readonly cwd: string
}

/** Lines that are kept for questions asked late. */
const KEPT_LINES = 20_000
const START_MS = 180_000

/** One OS process of a cluster, with what it writes to its log. Any signal may be sent to it, and it can be started again. */
export class ClusterProcess {
  readonly class: ClusterClass
  readonly name: string
  readonly #options: ClusterProcessOptions
  readonly #bell = new Bell()
  #child: ChildProcess | undefined
  #exited: Promise<string> = Promise.resolve('never started')
  #running = false
  #stderr = ''
  /** Of this start and the ones before. */
  #lines: LogLine[] = []
  #sinceStart = 0

  constructor(options: ClusterProcessOptions) {
    this.class = options.class
    this.name = options.name
    this.#options = options
  }

  get running(): boolean {
    return this.#running
  }

  /** @throws Error while it does not run */
  get pid(): number {
    if (!this.#running || this.#child?.pid === undefined) throw new Error(`${this.name} does not run`)
    return this.#child.pid
  }

  /** Resolves when this start has ended, to its exit code or signal. */
  get exited(): Promise<string> {
    return this.#exited
  }

  /** What it logged, over all starts. */
  get lines(): readonly LogLine[] {
    return this.#lines
  }

  /** What it logged since it was last started. */
  get linesOfThisStart(): readonly LogLine[] {
    return this.#lines.slice(this.#sinceStart)
  }

  /** The name under which the others know this start of it. */
  get instance(): string {
    const line = this.#lines.slice(this.#sinceStart).find((one) => typeof one.instance === 'string')
    return String(line?.instance)
  }

  /** Starts it, and resolves once it says that it is ready. @throws Error with the end of its log when it ends before */
  async start(): Promise<void> {
    const { args, env, cwd } = this.#options
    this.#sinceStart = this.#lines.length
    this.#stderr = ''
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
      cwd,
      env: { ...environment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    this.#running = true
    // A run that is killed leaves nothing behind.
    if (child.pid !== undefined) child.once('exit', watchOver(child.pid, cwd))
    this.#exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#running = false
        this.#bell.ring()
        resolve(signal ?? `exit ${code}`)
      })
    })
    readLines(child, (text) => this.#note(text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-8000)
    })
    await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
    await this.logged((line) => line.msg === 'readiness changed' && line.ready === true)
  }

  /** Sends a signal; SIGKILL is what it gets from `kill -9`. Resolves when it has ended, or at once for one that does not end it. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    process.kill(this.pid, signal)
    if (signal === 'SIGKILL' || signal === 'SIGTERM' || signal === 'SIGINT') await this.#exited
  }

  /** Ends it (SIGTERM drains, SIGKILL does not) and starts it again with the same settings. */
  async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.kill(signal)
    await this.start()
  }

  async stop(): Promise<void> {
    if (!this.#running) return
    // A stopped process (SIGSTOP) takes no other signal.
    process.kill(this.pid, 'SIGCONT')
    await this.kill('SIGTERM')
  }

  /** The first line of this start that `wanted` accepts, which may still have to come. @throws Error when the process ends before */
  async logged(wanted: (line: LogLine) => boolean): Promise<LogLine> {
    const deadline = performance.now() + START_MS
    for (;;) {
      const found = this.#lines.slice(this.#sinceStart).find(wanted)
      if (found !== undefined) return found
      if (!this.#running) throw new Error(`${this.name} ended (${await this.#exited}):\n${this.tail()}`)
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${this.name} did not log it:\n${this.tail()}`)
      await this.#bell.next(left)
    }
  }

  /** Its figures now, by name and labels. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return (await this.metrics()).value(name, labels)
  }

  /** All its figures of one moment. */
  async metrics(): Promise<ReturnType<typeof parseMetrics>> {
    const response = await fetch(`${await this.healthUrl()}/metrics`)
    return parseMetrics(await response.text())
  }

  /** The base of its /health, /ready and /metrics. */
  async healthUrl(): Promise<string> {
    return String((await this.logged((line) => line.msg === 'health server listens')).url)
  }

  /** The end of its log, for a failure's message. */
  tail(): string {
    const lines = this.#lines.slice(-30).map((line) => JSON.stringify(line))
    return [...lines, this.#stderr].join('\n')
  }

  #note(text: string): void {
    const line = parseLine(text)
    if (line === undefined) return
    this.#lines.push(line)
    if (this.#lines.length > KEPT_LINES) {
      const dropped = this.#lines.length - KEPT_LINES / 2
      this.#lines = this.#lines.slice(dropped)
      this.#sinceStart = Math.max(0, this.#sinceStart - dropped)
    }
    this.#bell.ring()
  }
}

/** This process's environment without the settings of another server, and with a place for compiled code. */
function environment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !/^(WEFT_|DATABASE_URL$|REDIS_URL$|NODE_OPTIONS$)/.test(entry[0]),
  )
  return { NODE_COMPILE_CACHE: join(root, '.cache', 'compiled'), ...Object.fromEntries(kept) }
}

function readLines(child: ChildProcess, each: (line: string) => void): void {
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) each(line)
  })
}

/** What is no JSON is for people: `weft start` says how to begin. */
function parseLine(text: string): LogLine | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text) as LogLine
  } catch {
    // The last line of a process that was killed while it wrote.
    return undefined
  }
}
