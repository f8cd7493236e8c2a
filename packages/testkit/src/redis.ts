import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { watchOver } from '@weft/storage'
import { Redis } from 'ioredis'
import { freePort } from './free-port.ts'

/** No Redis to be had on this machine: tests that need one skip, and print this reason. */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable'
}

/** A Redis of a test's own. */
export interface TestRedis extends AsyncDisposable {
  readonly url: string
  /** Absent where REDIS_URL names a server that is not ours to end. */
  readonly process: ChildProcess | undefined
  /** Ends it as `kill -9` does; nothing of its data is kept. */
  kill(): Promise<void>
  /** Starts it again at the same address, empty. */
  restart(): Promise<void>
  stop(): Promise<void>
}

const cached = join(import.meta.dirname, '..', '..', '..', '.cache', 'valkey', 'valkey-server')

/** The Redis or Valkey program to run, or undefined. */
export function redisProgram(): string | undefined {
  for (const name of ['redis-server', 'valkey-server']) {
    if (spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) return name
  }
  return existsSync(cached) ? cached : undefined
}

/**
 * A Redis of a test's own, on a free port of the loopback, that keeps nothing on disk.
 * @throws RedisUnavailable where no program is found; REDIS_URL is used only with `shared` (its data is not ours alone)
 */
export async function startRedis(options: { readonly shared?: boolean } = {}): Promise<TestRedis> {
  const given = process.env.REDIS_URL
  if (options.shared && given !== undefined) {
    const none = async () => {}
    return { url: given, process: undefined, kill: none, restart: none, stop: none, [Symbol.asyncDispose]: none }
  }
  const program = redisProgram()
  if (program === undefined) throw new RedisUnavailable('no redis-server or valkey-server on PATH, nor in .cache/valkey')
  const folder = mkdtempSync(join(tmpdir(), 'weft-redis-'))
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}/0`
  let child = await launch(program, port, folder)
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }
  const stop = async () => {
    await end()
    await rm(folder, { recursive: true, force: true })
  }
  return {
    url,
    get process() {
      return child
    },
    kill: end,
    restart: async () => {
      await end()
      child = await launch(program, port, folder)
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function launch(program: string, port: number, folder: string): Promise<ChildProcess> {
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  const child = spawn(program, args, { stdio: 'ignore' })
  // A run that is killed leaves nothing behind.
  if (child.pid !== undefined) child.once('exit', watchOver(child.pid, folder))
  await answers(child, port)
  return child
}

/** Resolves once the server answers PING; rejects when the program ends before. */
async function answers(child: ChildProcess, port: number): Promise<void> {
  const redis = new Redis({ host: '127.0.0.1', port, retryStrategy: () => 20, maxRetriesPerRequest: null })
  redis.on('error', () => {
    // Refused until it listens: ioredis tries again.
  })
  try {
    const died = new Promise<never>((_, reject) =>
      child.once('exit', (code, signal) => reject(new Error(`redis-server ended at once (${signal ?? code})`))),
    )
    await Promise.race([redis.ping(), died])
  } finally {
    redis.disconnect()
  }
}
