import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '@weft/testkit'
import { descendants, isRunning, naming } from './processes.ts'

const root = join(import.meta.dirname, '..', '..')
const START_MS = 120_000
/** Longer than the processes' own shutdown deadline with its grace. */
const STOP_MS = 45_000

/** A line of a log in JSON. */
export interface LogLine {
  readonly level: string
  readonly instance?: string
  readonly msg: string
  readonly [field: string]: unknown
}

/** A Weft from the command line, in a temporary folder: what its users get, on a free port and with a log that can be read. */
export class Server {
  readonly url: string
  readonly folder: string
  readonly #child: ChildProcess
  readonly #exited: Promise<string>
  /** Standard output by the line, and standard error. */
  readonly #said: string[] = []

  private constructor(url: string, folder: string, child: ChildProcess) {
    this.url = url
    this.folder = folder
    this.#child = child
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    })
  }

  /** `weft start` with these arguments, until it says that it answers. @throws Error with the end of its log */
  static async start(args: readonly string[]): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), 'weft-interop-'))
    // Where this runs as root, the embedded PostgreSQL runs as another user, who has to reach its data.
    await chmod(folder, 0o755)
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const main = join(root, 'apps', 'weft', 'src', 'main.ts')
    // Killed hard, this process could not end it: it watches by itself.
    const flags = ['--disable-warning=ExperimentalWarning', '--import', join(root, 'tooling', 'end-with-parent.mjs')]
    const child = spawn(process.execPath, [...flags, main, 'start', ...args], {
      cwd: folder,
      env: {
        NODE_COMPILE_CACHE: join(root, '.cache', 'node-compile'),
        ...process.env,
        WEFT_LISTENERS__0__PORT: String(port),
        WEFT_PUBLIC_BASEURL: url,
        WEFT_LOG__FORMAT: 'json',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Ctrl-C and a time limit reach this process alone, which ends it in order.
      detached: true,
    })
    const server = new Server(url, folder, child)
    try {
      await server.#answers()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  /** Log lines at level error, and whatever a process wrote to standard error: a server that does its work writes none. */
  errors(): string[] {
    return this.#said.filter((line) => line.startsWith('stderr: ') || /"level":"(?:error|fatal)"/.test(line))
  }

  log(): LogLine[] {
    return this.#said.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine)
  }

  /** The end of all it wrote. */
  tail(lines = 60): string {
    return this.#said.slice(-lines).join('\n')
  }

  /** Ends it as its users do. @returns what is not as it should be after that: how it exited, or what it left running */
  async stop(): Promise<string[]> {
    const family = this.#child.pid === undefined ? [] : descendants(this.#child.pid)
    this.#child.kill('SIGTERM')
    const urge = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    const how = await this.#exited
    clearTimeout(urge)
    const left = [...family.filter(isRunning), ...naming(this.folder)]
    for (const { pid } of left) process.kill(pid, 'SIGKILL')
    // What was killed may still write a file or two.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    return [...(how === 'exit code 0' ? [] : [`it ended with ${how}`]), ...left.map(({ pid, name }) => `process ${pid} (${name}) is left`)]
  }

  #answers(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { stdout, stderr } = this.#child
      if (stdout === null || stderr === null) throw new Error('the server has no pipes')
      const timer = setTimeout(() => reject(new Error(`it did not answer within ${START_MS} ms:\n${this.tail()}`)), START_MS)
      createInterface(stdout).on('line', (line) => {
        this.#said.push(line)
        if (!line.includes('Weft answers at')) return
        clearTimeout(timer)
        resolve()
      })
      createInterface(stderr).on('line', (line) => this.#said.push(`stderr: ${line}`))
      void this.#exited.then((how) => {
        clearTimeout(timer)
        reject(new Error(`it ended before it answered (${how}):\n${this.tail()}`))
      })
    })
  }
}
