import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { watchOver } from '@weft/storage'
import { Redis } from 'ioredis'

/** Memory that Redis may take; announcements and who is typing need a small part of it. */
const MAX_MEMORY = '256mb'
const STOP_MS = 5000

/** Redis or Valkey as a child of this process, on a unix socket; it keeps nothing on disk. */
export class EmbeddedRedis {
  /** What ioredis takes: the path of the socket. */
  readonly url: string
  readonly pid: number
  /** Resolves when the server has ended, to how. */
  readonly exited: Promise<string>
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string, exited: Promise<string>) {
    this.#child = child
    this.url = url
    this.pid = child.pid as number
    this.exited = exited
  }

  /** Where a server of this folder listens, before it is started too. */
  static socketOf(folder: string): string {
    const beside = join(folder, 'redis.sock')
    // The path of a socket has at most 107 bytes.
    return Buffer.byteLength(beside) <= 100
      ? beside
      : join(tmpdir(), `weft-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}.sock`)
  }

  /** @throws Error when the program ends before it answers */
  static async start(options: { readonly program: string; readonly folder: string }): Promise<EmbeddedRedis> {
    await mkdir(options.folder, { recursive: true })
    const socket = EmbeddedRedis.socketOf(options.folder)
    await rm(socket, { force: true })
    const settings = ['--port', '0', '--unixsocket', socket, '--unixsocketperm', '700', '--save', '', '--appendonly', 'no']
    const limits = ['--maxmemory', MAX_MEMORY, '--maxmemory-policy', 'noeviction', '--dir', options.folder]
    const child = spawn(options.program, [...settings, ...limits], { stdio: 'ignore', detached: true })
    // It ends with this process, however that dies.
    const callOff = child.pid === undefined ? () => {} : watchOver(child.pid)
    const exited = new Promise<string>((resolve) => {
      child.once('exit', (code, signal) => {
        callOff()
        resolve(signal ?? `exit ${code}`)
      })
    })
    await answers(child, socket)
    return new EmbeddedRedis(child, socket, exited)
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGTERM')
    // One that stands still (SIGSTOP) hears of it then.
    this.#child.kill('SIGCONT')
    // It has nothing to save.
    const urge = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await this.exited
    clearTimeout(urge)
  }
}

async function answers(child: ChildProcess, path: string): Promise<void> {
  const redis = new Redis({ path, retryStrategy: () => 20, maxRetriesPerRequest: null })
  redis.on('error', () => {
    // Refused until it listens: ioredis tries again.
  })
  try {
    const died = new Promise<never>((_, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => reject(new Error(`Redis ended at once (${signal ?? code})`)))
    })
    await Promise.race([redis.ping(), died])
  } finally {
    redis.disconnect()
  }
}
