import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort } from '@weft/testkit'

const root = join(import.meta.dirname, '..', '..')
const MARK = 'BARE_MACHINE'
/** What README does not ask for, and what would make it easier. */
const absent = /^(pnpm|pnpx|yarn|corepack|redis-.*|valkey-.*|postgres|psql|initdb)$/
const systemFolders = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin']
/** Settings of package managers, of compiled code and of a server: a new machine has none. */
const foreign = /^(npm_|PNPM_|XDG_|WEFT_|NODE_OPTIONS$|NODE_COMPILE_CACHE$|DATABASE_URL$|REDIS_URL$|INIT_CWD$|HOME$|TMPDIR$)/
const WAIT_MS = 300_000

/** How one start went, in seconds. */
export interface StartTimes {
  /** From the command to the first answer of /_matrix/client/versions. */
  readonly answered: number
  /** From Ctrl-C to the end of npm. */
  readonly ended: number
  /** Processes that still ran when npm had ended. */
  readonly left: readonly string[]
}

/**
 * A clean clone of what is committed, on as good as a new machine: a new home folder, so that every store and cache is empty, and a PATH
 * with what this machine has, but for pnpm, Redis and PostgreSQL.
 */
export class BareMachine {
  readonly folder: string
  readonly #env: Record<string, string>
  readonly #uid: number | undefined
  readonly #mark = randomUUID()

  private constructor(folder: string, uid: number | undefined) {
    this.folder = folder
    this.#uid = uid
    const bin = join(folder, 'bin')
    linkPrograms(bin)
    const kept = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined && !foreign.test(entry[0]))
    this.#env = { ...Object.fromEntries(kept), PATH: bin, HOME: join(folder, 'home'), TMPDIR: join(folder, 'tmp'), [MARK]: this.#mark }
  }

  /** @param uid whom its commands run as, which root may choose; oneself when left out */
  static async make(uid?: number): Promise<BareMachine> {
    const folder = mkdtempSync(join(tmpdir(), 'weft-bare-'))
    chmodSync(folder, 0o755)
    const machine = new BareMachine(folder, uid)
    execFileSync('git', ['clone', '--quiet', root, machine.clone], { stdio: ['ignore', 'ignore', 'inherit'] })
    for (const name of ['home', 'tmp']) mkdirSync(join(folder, name))
    if (uid !== undefined) {
      execFileSync('chown', ['-R', `${uid}:${uid}`, machine.clone])
      for (const name of ['home', 'tmp']) chownSync(join(folder, name), uid, uid)
    }
    return machine
  }

  get clone(): string {
    return join(this.folder, 'weft')
  }

  get log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8')
  }

  /** Runs a command to its end. @throws Error with what it said, when it fails */
  run(file: string, args: readonly string[]): string {
    const { status, stdout, stderr, error } = spawnSync(file, args, { ...this.#spawning(), encoding: 'utf8' })
    if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${error?.message ?? `exit ${status}`}\n${stdout}${stderr}`)
    return stdout
  }

  /** `npm start`, with these arguments, until it answers; then Ctrl-C. @throws Error with its log, when it ends by itself */
  async start(args: readonly string[] = []): Promise<StartTimes> {
    const port = await freePort()
    const began = performance.now()
    // A group of its own, as a terminal gives to each command: Ctrl-C reaches all of the group.
    const child = spawn('npm', ['start', ...(args.length > 0 ? ['--', ...args] : [])], {
      ...this.#spawning({ WEFT_LISTENERS__0__PORT: String(port) }),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const log = createWriteStream(join(this.folder, 'log'))
    for (const stream of [child.stdout, child.stderr]) stream?.pipe(log, { end: false })
    await this.#answers(`http://127.0.0.1:${port}/_matrix/client/versions`, child)
    const answered = (performance.now() - began) / 1000
    const told = performance.now()
    const exited = new Promise((resolve) => child.once('exit', resolve))
    process.kill(-(child.pid as number), 'SIGINT')
    await exited
    return { answered, ended: (performance.now() - told) / 1000, left: this.#processes() }
  }

  /** @throws Error when something of it still runs */
  async remove(): Promise<void> {
    const left = this.#processes()
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
    await rm(this.folder, { recursive: true, force: true })
  }

  async #answers(url: string, child: ChildProcess): Promise<void> {
    const deadline = performance.now() + WAIT_MS
    for (;;) {
      const ok = await fetch(url).then(
        (response) => response.ok,
        () => false,
      )
      if (ok) return
      if (child.exitCode !== null || performance.now() > deadline) throw new Error(`npm start did not answer:\n${this.log.slice(-4000)}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  #spawning(more: Record<string, string> = {}) {
    const account = this.#uid === undefined ? {} : { uid: this.#uid, gid: this.#uid }
    return { cwd: this.clone, env: { ...this.#env, ...more }, ...account }
  }

  /** What runs of it, by the mark in the environment, or by its folder in the command line (PostgreSQL has another environment). */
  #processes(): string[] {
    const found: string[] = []
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        const ours = command.includes(this.folder) || readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${MARK}=${this.#mark}`)
        if (ours && command !== '') found.push(`${pid} ${command.slice(0, 100)}`)
      } catch {
        // It ended meanwhile, or is another user's.
      }
    }
    return found
  }
}

/** The programs of this machine, system folders first (what others bring may only work for its own user). */
function linkPrograms(bin: string): void {
  mkdirSync(bin)
  const folders = [...systemFolders, ...(process.env.PATH ?? '').split(delimiter)].filter(
    (folder) => folder !== '' && !folder.startsWith(root) && !folder.includes('node_modules') && existsSync(folder),
  )
  for (const folder of folders) {
    for (const name of readdirSync(folder)) {
      if (!absent.test(name) && !existsSync(join(bin, name))) symlinkSync(join(folder, name), join(bin, name))
    }
  }
}
