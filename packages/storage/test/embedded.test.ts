import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { copyFolder, isRunning, postgresBinaries, watchdogOf } from '@weft/testkit'
import { Database, EmbeddedPostgres, majorVersion, sql } from '../src/index.ts'

const one = sql('t.one', 'SELECT 1 AS one')
/** A data folder of PostgreSQL 18 that is stopped; a copy is quicker than making another. */
let pristine: string
let folder: string
let started: EmbeddedPostgres[]

beforeAll(async () => {
  pristine = await mkdtemp(join(tmpdir(), 'weft-pristine-'))
  await chmod(pristine, 0o755)
  const server = await EmbeddedPostgres.start({ binaries: postgresBinaries(18), dataDir: join(pristine, 'data'), fsync: false })
  await server.stop()
})
afterAll(async () => {
  await rm(pristine, { recursive: true, force: true })
})

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-embedded-'))
  await chmod(folder, 0o755)
  started = []
})
afterEach(async () => {
  for (const server of started) await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function start(major: 14 | 18 = 18, dataDir = join(folder, 'data')): Promise<EmbeddedPostgres> {
  const server = await EmbeddedPostgres.start({ binaries: postgresBinaries(major), dataDir, fsync: false, removeOnDeath: '' })
  started.push(server)
  return server
}

async function write(server: EmbeddedPostgres): Promise<void> {
  const db = new Database({ connection: server.connection, applicationName: 'test' })
  await db.execute(sql('t.create', 'CREATE TABLE kept (id bigint)'))
  await db.close()
}

async function hasTable(server: EmbeddedPostgres): Promise<unknown> {
  const db = new Database({ connection: server.connection, applicationName: 'test' })
  const [row] = await db.query(sql('t.has', `SELECT to_regclass('kept') IS NOT NULL AS yes`))
  await db.close()
  return row?.yes
}

/** Starts a server in another process and resolves to both process ids. */
async function startElsewhere(dataDir: string) {
  const program = `
    import { EmbeddedPostgres } from ${JSON.stringify(join(import.meta.dirname, '../src/index.ts'))}
    const server = await EmbeddedPostgres.start(${JSON.stringify({ binaries: postgresBinaries(18), dataDir, fsync: false })})
    console.log(server.pid)
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const server = await new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (data: Buffer) => resolve(Number(data.toString())))
    child.on('exit', () => reject(new Error('ended')))
  })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  return { server, kill }
}

test('one that stands still (SIGSTOP) is stopped all the same', async () => {
  await copyFolder(join(pristine, 'data'), join(folder, 'data'))
  const server = await start()
  process.kill(server.pid, 'SIGSTOP')
  await server.stop()
  expect(isRunning(server.pid)).toBe(false)
})

describe.each([14, 18] as const)('PostgreSQL %i', (major) => {
  test('starts on a new folder, in the C locale, and on the same folder again with what was written', async () => {
    expect(await majorVersion(postgresBinaries(major))).toBe(major)
    const first = await start(major)
    const db = new Database({ connection: first.connection, applicationName: 'test' })
    const [row] = await db.query(
      sql('t.locale', `SELECT datcollate, pg_encoding_to_char(encoding) AS encoding FROM pg_database WHERE datname = 'postgres'`),
    )
    expect(row).toEqual({ datcollate: 'C', encoding: 'UTF8' })
    await db.close()
    await write(first)
    await first.stop()
    expect(await first.exited).toBe('exit 0')
    expect(await hasTable(await start(major))).toBe(true)
  })

  test('starts again at once after it was killed', async () => {
    const first = await start(major)
    await write(first)
    const db = new Database({ connection: first.connection, applicationName: 'busy' })
    await db.query(one)
    process.kill(first.pid, 'SIGKILL')
    expect(await first.exited).toBe('SIGKILL')
    expect(await hasTable(await start(major))).toBe(true)
    await db.close()
  })
})

test('a folder of another major version is refused with the way out', async () => {
  await (await start(14)).stop()
  await expect(start(18)).rejects.toThrow(/made by PostgreSQL 14.*brings PostgreSQL 18.*pg_dump/)
})

test('what is left of an interrupted initialisation is cleared away', async () => {
  await mkdir(join(folder, 'data.unfinished', 'base'), { recursive: true })
  await start()
  expect(existsSync(join(folder, 'data.unfinished'))).toBe(false)
})

test('two on one folder: the second is refused and names the first', async () => {
  await copyFolder(join(pristine, 'data'), join(folder, 'data'))
  await start()
  await expect(start()).rejects.toThrow(`in use by another weft (process ${process.pid})`)
})

test('a lock file whose process id now belongs to something else does not keep it from starting', async () => {
  await copyFolder(join(pristine, 'data'), join(folder, 'data'))
  await writeFile(join(folder, 'data', 'postmaster.pid'), `${process.pid}\n${join(folder, 'data')}\n`)
  await start()
})

test('the server ends with the process that started it, however that dies', async () => {
  await copyFolder(join(pristine, 'data'), join(folder, 'data'))
  const other = await startElsewhere(join(folder, 'data'))
  await other.kill()
  while (isRunning(other.server)) await new Promise((resolve) => setImmediate(resolve))
})

test('a server that outlived its process is stopped, and its folder used', async () => {
  await copyFolder(join(pristine, 'data'), join(folder, 'data'))
  const other = await startElsewhere(join(folder, 'data'))
  process.kill(-watchdogOf(other.server), 'SIGKILL')
  await other.kill()
  expect(isRunning(other.server)).toBe(true)
  await start()
  expect(isRunning(other.server)).toBe(false)
})

test('a deep folder gets a socket elsewhere', async () => {
  const deep = join(folder, 'a'.repeat(60), 'b'.repeat(60))
  await mkdir(deep, { recursive: true })
  await copyFolder(join(pristine, 'data'), join(deep, 'data'))
  const server = await start(18, join(deep, 'data'))
  expect(server.connection.host).not.toContain('aaa')
  expect(await hasTable(server)).toBe(false)
  await server.stop()
  await rm(server.connection.host, { recursive: true })
})

const asRoot = process.getuid?.() === 0 ? test : test.skip
asRoot('root is told which folder keeps the unprivileged user out', async () => {
  const closed = join(folder, 'closed')
  await mkdir(closed, { mode: 0o700 })
  await expect(start(18, join(closed, 'weft', 'data'))).rejects.toThrow(`may not enter ${closed}. Ways out`)
})
