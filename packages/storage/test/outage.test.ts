import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { postgresBinaries, startPostgres, type TestServer } from '@weft/testkit'
import { bind, CommitOutcomeUnknown, Database, EmbeddedPostgres, isConnectionError, sql } from '../src/index.ts'

const insert = sql('t.insert', 'INSERT INTO kept (id) VALUES ($1)')
const count = sql<{ n: number }>('t.count', 'SELECT count(*) AS n FROM kept')
const sleep = sql('t.sleep', 'SELECT pg_sleep(60)')
const waiting = sql<{ pid: number }>(
  't.waiting',
  `SELECT pid FROM pg_stat_activity WHERE application_name = 'under test' AND wait_event_type = 'Lock'`,
)
const backend = sql<{ pid: number }>('t.backend', 'SELECT pid FROM pg_stat_activity WHERE pid = $1')
const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (err: unknown) => err,
  )

let server: TestServer
let db: Database
/** Ends connections by name, from outside. */
let other: Database

beforeAll(async () => {
  server = await startPostgres({ major: 18 })
  db = new Database({ connection: server.connection, applicationName: 'under test', poolSize: 4 })
  other = new Database({ connection: server.connection, applicationName: 'other' })
  await db.execute(sql('t.create', 'CREATE TABLE kept (id bigint PRIMARY KEY)'))
})
afterAll(async () => {
  await db.close()
  await other.close()
  await server.stop()
})

/** Kills the backend that is asleep, once there is one. */
async function endSleeper(): Promise<void> {
  const statement = sql<{ gone: boolean }>(
    't.end',
    `SELECT pg_terminate_backend(pid, 5000) AS gone FROM pg_stat_activity WHERE application_name = 'under test' AND wait_event = 'PgSleep'`,
  )
  while ((await other.query(statement)).length === 0);
}

test('a connection that ends under a statement is an error of the connection, and the next statement gets another', async () => {
  const [reason] = await Promise.all([reasonOf(db.query(sleep)), endSleeper()])
  expect(isConnectionError(reason)).toBe(true)
  expect(reason).not.toBeInstanceOf(CommitOutcomeUnknown)
  expect(await db.query(count)).toEqual([{ n: 0 }])
})

test('a connection that ends before the last statement of a commit is known to have written nothing', async () => {
  const [reason] = await Promise.all([reasonOf(db.commitPipeline([bind(insert, [1]), bind(sleep), bind(insert, [2])])), endSleeper()])
  expect(isConnectionError(reason)).toBe(true)
  expect(reason).not.toBeInstanceOf(CommitOutcomeUnknown)
  expect(await db.query(count)).toEqual([{ n: 0 }])
})

test('a transaction whose connection ends writes nothing, and fails with that', async () => {
  const [reason] = await Promise.all([
    reasonOf(
      db.transaction(async (tx) => {
        await tx.query(insert, [3])
        await tx.query(sleep)
      }),
    ),
    endSleeper(),
  ])
  expect(isConnectionError(reason)).toBe(true)
  expect(await db.query(count)).toEqual([{ n: 0 }])
})

test('a connection on which PostgreSQL says nothing for too long is given up, and the next statement gets another', async () => {
  const warned: string[] = []
  const impatient = new Database({
    connection: server.connection,
    applicationName: 'impatient',
    poolSize: 1,
    answerMs: 200,
    log: { warn: (_fields, message) => void warned.push(message) },
  })
  try {
    expect(isConnectionError(await reasonOf(impatient.query(sleep)))).toBe(true)
    expect(warned).toContain('PostgreSQL does not answer: a connection is given up')
    expect(await impatient.query(count)).toEqual([{ n: 0 }])
    const unknown = await reasonOf(impatient.commitPipeline([bind(insert, [9]), bind(sleep)]))
    expect(unknown).toBeInstanceOf(CommitOutcomeUnknown)
    await impatient.endBackend(unknown as CommitOutcomeUnknown)
    expect(await impatient.query(count)).toEqual([{ n: 0 }])
  } finally {
    await impatient.close()
  }
})

test('a dedicated connection is given up likewise where it is watched', async () => {
  const impatient = new Database({ connection: server.connection, applicationName: 'impatient', answerMs: 200 })
  try {
    const watched = await impatient.dedicated({ watched: true })
    expect(isConnectionError(await reasonOf(watched.query(sleep)))).toBe(true)
    await watched.ended
    await watched.close()
  } finally {
    await impatient.close()
  }
})

test('after a connection that broke without a word the outcome is unknown, until its backend is gone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weft-cut-'))
  const clients: Socket[] = []
  const proxy = createServer((client) => {
    const upstream = createConnection(join(server.connection.host, '.s.PGSQL.5432'))
    clients.push(client)
    client.pipe(upstream, { end: false })
    upstream.pipe(client)
    client.on('error', () => {})
    upstream.on('error', () => {})
  })
  await new Promise<void>((resolve) => proxy.listen(join(folder, '.s.PGSQL.5432'), resolve))
  const through = new Database({ connection: { ...server.connection, host: folder }, applicationName: 'under test' })

  // The commit waits for a lock; its client goes away; the backend does not know, and goes on once the lock is free.
  const [reason] = await Promise.all([
    reasonOf(through.commitPipeline([bind(insert, [4]), bind(insert, [5])])),
    other.transaction(async (tx) => {
      await tx.query(sql('t.lock', 'LOCK TABLE kept IN SHARE MODE'))
      while ((await other.query(waiting)).length === 0);
      for (const client of clients) client.destroy()
    }),
  ])
  expect(reason).toBeInstanceOf(CommitOutcomeUnknown)
  await db.endBackend(reason as CommitOutcomeUnknown)
  const [found] = await db.query(count)
  expect([0, 2]).toContain(found?.n)
  expect(await other.query(backend, [(reason as CommitOutcomeUnknown).backend])).toEqual([])
  await db.execute(sql('t.clear', 'DELETE FROM kept'))
  await through.close()
  proxy.close()
  await rm(folder, { recursive: true })
})

test('idle connections that PostgreSQL closes are replaced, and nothing crashes', async () => {
  await Promise.all([db.query(count), db.query(count), db.query(count)])
  await other.query(sql('t.endAll', `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'under test'`))
  const answers = await Promise.allSettled(Array.from({ length: 8 }, () => db.query(count)))
  for (const answer of answers) if (answer.status === 'rejected') expect(isConnectionError(answer.reason)).toBe(true)
  expect(await db.query(count)).toEqual([{ n: 0 }])
})

test('while PostgreSQL is away everything fails at once; when it is back, it works', async () => {
  await db.execute(insert, [9])
  await server.server.stop()
  for (const attempt of [
    db.query(count),
    db.commitPipeline([bind(insert, [10])]),
    db.transaction((tx) => tx.query(count)),
    db.dedicated(),
  ]) {
    const reason = await reasonOf(attempt)
    expect(isConnectionError(reason)).toBe(true)
    expect(reason).not.toBeInstanceOf(CommitOutcomeUnknown)
  }
  const again = await EmbeddedPostgres.start({ binaries: postgresBinaries(18), dataDir: server.dataDir, fsync: false })
  expect(await db.query(count)).toEqual([{ n: 1 }])
  await db.close()
  db = new Database({ connection: server.connection, applicationName: 'under test' })
  await again.stop()
})
