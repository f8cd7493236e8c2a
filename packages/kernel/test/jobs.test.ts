import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { connectionUrl, Dedicated } from '@weft/storage'
import { startPostgres, type TestDatabase, testDatabase } from '@weft/testkit'
import * as bullmq from 'bullmq'
import pg from 'pg'
import { type JobData, type JobRun, Jobs, type JobsOptions, Metrics, silentLogger, systemClock } from '../src/index.ts'
import { steadyBackend } from '../src/jobs/steady-connection.ts'

let database: TestDatabase
const running = new Set<Jobs>()
let schemas = 0

beforeAll(async () => {
  database = await testDatabase({ empty: true })
})
afterEach(async () => {
  for (const jobs of running) await jobs.stop()
  running.clear()
})
afterAll(() => database.close())

/** A schema of its own for each test, which several processes may share. */
function schema(): string {
  return `jobs_${++schemas}`
}

function process(options: Partial<JobsOptions> & { schema: string }): Jobs {
  const jobs = new Jobs({
    url: connectionUrl(database.connection),
    log: silentLogger,
    metrics: new Metrics(),
    clock: systemClock,
    ...options,
  })
  running.add(jobs)
  return jobs
}

/** Runs that a test waits for one by one. */
function inbox() {
  const got: JobData[] = []
  const waiting: ((data: JobData) => void)[] = []
  return {
    got,
    put(data: JobData): void {
      got.push(data)
      waiting.shift()?.(data)
    },
    next: () => new Promise<JobData>((resolve) => waiting.push(resolve)),
  }
}

describe('jobs', () => {
  test('run with their data, also when they were asked for before anybody ran them', async () => {
    const name = schema()
    await process({ schema: name }).enqueue('profile', { userId: '@a:b', n: 1 })
    const box = inbox()
    const first = box.next()
    const metrics = new Metrics()
    const jobs = process({ schema: name, metrics })
    jobs.define<{ userId: string; n: number }>('profile', async ({ data, attempt, signal }) => {
      expect([attempt, signal.aborted]).toEqual([1, false])
      box.put(data)
    })
    await jobs.start()
    expect(await first).toEqual({ userId: '@a:b', n: 1 })
    const second = box.next()
    await jobs.enqueue('profile', { userId: '@c:d', n: 2 })
    expect(await second).toEqual({ userId: '@c:d', n: 2 })
    await jobs.stop()
    expect(await metrics.value('weft_jobs_finished_total', { name: 'profile', outcome: 'done' })).toBe(2)
    expect(await metrics.value('weft_job_duration_seconds', { name: 'profile' })).toBe(2)
  })

  test('a job that fails is tried again', async () => {
    const jobs = process({ schema: schema() })
    const done = Promise.withResolvers<number>()
    jobs.define('flaky', async ({ attempt }) => {
      if (attempt === 1) throw new Error('not yet')
      done.resolve(attempt)
    })
    await jobs.start()
    await jobs.enqueue('flaky', {})
    expect(await done.promise).toBe(2)
  })

  test('with a key, one waiting job is enough; one rung for while another runs is run afterwards', async () => {
    const name = schema()
    const jobs = process({ schema: name })
    const box = inbox()
    const release = Promise.withResolvers<void>()
    for (const n of [1, 2]) await jobs.enqueue('room', { n }, { dedupeKey: '!a' })
    await jobs.enqueue('room', { n: 9 }, { dedupeKey: '!b' })
    await jobs.stop()
    const [a, b] = [box.next(), box.next()]
    const again = process({ schema: name })
    again.define('room', async ({ data }) => {
      box.put(data)
      if (data.n === 1) await release.promise
    })
    await again.start()
    await Promise.all([a, b])
    expect(box.got.map(({ n }) => n).sort()).toEqual([1, 9])
    const afterwards = box.next()
    for (const n of [3, 4]) await again.enqueue('room', { n }, { dedupeKey: '!a' })
    expect(box.got).toHaveLength(2)
    release.resolve()
    expect(await afterwards).toEqual({ n: 4 })
    await again.stop()
    expect(box.got).toHaveLength(3)
  })

  test('stopping tells running handlers, and what they left is run by the next process', async () => {
    const name = schema()
    const jobs = process({ schema: name })
    const started = Promise.withResolvers<void>()
    const handler = async ({ signal, attempt }: JobRun): Promise<void> => {
      if (attempt > 1) return taken.resolve(attempt)
      started.resolve()
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    }
    const taken = Promise.withResolvers<number>()
    jobs.define('long', handler)
    await jobs.start()
    await jobs.enqueue('long', {})
    await started.promise
    await jobs.stop()
    const next = process({ schema: name })
    next.define('long', handler)
    await next.start()
    expect(await taken.promise).toBe(2)
  })

  test('a job of a name that this release does not have waits for one that has it', async () => {
    const name = schema()
    const old = process({ schema: name })
    await old.start()
    await old.enqueue('new', {})
    await old.stop()
    const done = Promise.withResolvers<void>()
    const jobs = process({ schema: name })
    jobs.define('new', async () => done.resolve())
    await jobs.start()
    await done.promise
  })

  test('go on after their connections were lost', async () => {
    const jobs = process({ schema: schema() })
    const box = inbox()
    jobs.define('a', async ({ data }) => box.put(data))
    await jobs.start()
    const first = box.next()
    await jobs.enqueue('a', { n: 1 })
    await first
    await database.db.query({
      name: 'test.terminate',
      text: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'test'`,
    })
    const second = box.next()
    await jobs.enqueue('a', { n: 2 })
    expect(await second).toEqual({ n: 2 })
  })

  test('begin at a second try once PostgreSQL is back, and end without it', async () => {
    await using server = await startPostgres({ major: 18 })
    const url = connectionUrl(server.connection)
    const first = process({ schema: schema(), url })
    const ran = Promise.withResolvers<void>()
    first.every('a', 60_000, async () => ran.resolve())
    await first.start()
    await ran.promise
    await server.kill()
    await first.stop()
    const jobs = process({ schema: schema(), url })
    const again = Promise.withResolvers<void>()
    jobs.every('a', 60_000, async () => again.resolve())
    await expect(jobs.start()).rejects.toThrow()
    await server.restart()
    await jobs.start()
    await again.promise
    await jobs.stop()
    // What failed has left nothing open either.
    const looking = await Dedicated.connect(server.connection, 'test')
    expect(await looking.script(`SELECT application_name FROM pg_stat_activity WHERE application_name LIKE '%jobs'`)).toEqual([])
    await looking.close()
  }, 60_000)

  test('definitions are made once, and before the start', async () => {
    const jobs = process({ schema: schema() })
    jobs.define('a', async () => undefined)
    expect(() => jobs.every('a', 1000, async () => undefined)).toThrow(/defined twice/)
    await jobs.start()
    expect(() => jobs.define('b', async () => undefined)).toThrow(/after the start/)
    await expect(jobs.start()).rejects.toThrow(/run already/)
  })
})

describe('schedules', () => {
  test('run again and again, and end when a release no longer has them', async () => {
    const name = schema()
    const twice = Promise.withResolvers<void>()
    let runs = 0
    const jobs = process({ schema: name })
    jobs.every('sweep', 50, async () => {
      if (++runs === 2) twice.resolve()
    })
    await jobs.start()
    await twice.promise
    await jobs.stop()
    const next = process({ schema: name })
    await next.start()
    const { rows } = await count(name)
    expect(rows).toBe(0)
  })
})

async function count(name: string): Promise<{ rows: number }> {
  const [row] = await database.db.query<{ n: number }>({
    name: `schedulers.${name}`,
    text: `SELECT count(*)::int AS n FROM ${name}.scheduler`,
  })
  return { rows: row?.n ?? -1 }
}

describe('a connection of BullMQ that breaks', () => {
  /** pg's client emits `error`, which throws where nobody listens: in a process, an uncaught exception. */
  const broken = new Error('terminating connection due to unexpected postmaster exit')

  function backend() {
    const connection = { connectionString: connectionUrl(database.connection), schema: schema(), migrate: true, max: 2 }
    const made = steadyBackend(bullmq, pg)('steady', { connection }, { withBlockingConnection: true })
    // Queue and Worker listen to their backend.
    made.on('error', () => undefined)
    const inner = made as unknown as { connection: { getListenClient(): Promise<pg.Client>; pool: pg.Pool } }
    return { made, inner: inner.connection }
  }

  test('while it closes does not end the process', async () => {
    const { made, inner } = backend()
    await made.waitUntilReady()
    const listening = await inner.getListenClient()
    await made.close()
    expect(() => listening.emit('error', broken)).not.toThrow()
  })

  test('while it is taken from the pool, as for the migration, does not end the process', async () => {
    const { made, inner } = backend()
    await made.waitUntilReady()
    const client = await inner.pool.connect()
    expect(() => client.emit('error', broken)).not.toThrow()
    client.release(true)
    await made.close()
  })
})
