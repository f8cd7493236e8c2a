import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { systemClock } from '@weft/kernel'
import { type Connection, Database, sql } from '@weft/storage'
import { type TestDatabase, testDatabase } from '@weft/testkit'
import { FencedError, fenceStatement, type HeldLease, LocalAnnouncer, WriterLease } from '../src/index.ts'
import { changeDevice, startWriter, TestLog, TestObserver, until } from './support.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await testDatabase()
})
afterAll(() => database.close())

/** A process: its pool, and its lease by the same name. */
function process(name: string, log = new TestLog(), answerMs?: number, connection: Connection = database.connection) {
  const db = new Database({ connection, applicationName: name, poolSize: 3, ...(answerMs !== undefined && { answerMs }) })
  const lease = new WriterLease({ db, name: 'writer', applicationName: name, clock: systemClock, log })
  const stopping = new AbortController()
  return {
    db,
    log,
    acquire: () => lease.acquire(stopping.signal),
    stop: async (held?: HeldLease) => {
      stopping.abort()
      await held?.release()
      await db.close()
    },
  }
}

const terminateAll = sql('test.terminateAll', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1')

test('one process is the writer; a standby becomes it when it is given back, in a later epoch', async () => {
  const first = process('lease-first')
  const second = process('lease-second')
  const held = await first.acquire()
  expect(held.held()).toBe(true)
  const waiting = second.acquire()
  await until(() => second.log.lines.some((line) => line.message === 'standing by'))
  await held.release()
  expect(held.held()).toBe(false)
  const next = await waiting
  expect(next.writer.epoch).toBe(held.writer.epoch + 1)
  await first.stop()
  await second.stop(next)
})

test('the standby takes over when the holder dies; the holder knows that it was lost', async () => {
  const first = process('lease-dying')
  const second = process('lease-heir')
  const held = await first.acquire()
  const waiting = second.acquire()
  await until(() => second.log.lines.some((line) => line.message === 'standing by'))
  await database.db.query(terminateAll, ['lease-dying'])
  const next = await waiting
  await until(() => held.lost.aborted)
  expect(held.held()).toBe(false)
  expect(next.writer.epoch).toBe(held.writer.epoch + 1)
  await first.stop()
  await second.stop(next)
})

test('a standby to whom PostgreSQL says nothing any more asks on another connection, and takes over', async () => {
  const { host, port } = database.connection
  const folder = await mkdtemp(join(tmpdir(), 'weft-deaf-'))
  const pairs: { readonly client: Socket; readonly upstream: Socket }[] = []
  const proxy = createServer((client) => {
    const upstream = host.startsWith('/') ? createConnection(join(host, `.s.PGSQL.${port}`)) : createConnection(port, host)
    pairs.push({ client, upstream })
    client.pipe(upstream).pipe(client)
    client.on('error', () => {})
    upstream.on('error', () => {})
  })
  await new Promise<void>((resolve) => proxy.listen(join(folder, `.s.PGSQL.${port}`), resolve))
  const first = process('lease-heard')
  const second = process('lease-deaf', new TestLog(), 2000, { ...database.connection, host: folder })
  const held = await first.acquire()
  const waiting = second.acquire()
  await until(() => second.log.lines.some((line) => line.message === 'standing by'))
  // As when its machine is gone: no byte comes, and no end of the connection.
  for (const { client, upstream } of pairs) {
    client.unpipe(upstream)
    upstream.unpipe(client)
  }
  await database.db.query(terminateAll, ['lease-heard'])
  const next = await waiting
  expect(next.writer.epoch).toBe(held.writer.epoch + 1)
  await first.stop()
  await second.stop(next)
  for (const { client, upstream } of pairs) {
    client.destroy()
    upstream.destroy()
  }
  proxy.close()
  await rm(folder, { recursive: true })
})

test('a holder that stands still with a transaction open is ended within 5 s, and nothing of it lands afterwards', async () => {
  // Stands still as under kill -STOP: connected, the lock held, a transaction holding the epoch, no beats.
  let frozen = false
  const clock = {
    ...systemClock,
    setInterval: (run: () => void, ms: number) => systemClock.setInterval(() => (frozen ? undefined : run()), ms),
  }
  const oldDb = new Database({ connection: database.connection, applicationName: 'lease-frozen', poolSize: 3 })
  const oldLease = new WriterLease({ db: oldDb, name: 'writer', applicationName: 'lease-frozen', clock, log: new TestLog() })
  const held = await oldLease.acquire(new AbortController().signal)
  const announcer = new LocalAnnouncer({ observer: new TestObserver() })
  let fenced = 0
  const oldWriter = await startWriter(oldDb, announcer, { epoch: held.writer.epoch, onFenced: () => fenced++ })
  const holding = Promise.withResolvers<void>()
  const resumed = Promise.withResolvers<void>()
  const late = oldDb.transaction(async (tx) => {
    const { sql: fence, values } = fenceStatement(held.writer)
    await tx.query(fence, values)
    holding.resolve()
    await resumed.promise
    await tx.query(fence, values)
  })
  await holding.promise
  frozen = true
  const standby = process('lease-standby')
  const since = performance.now()
  const next = await standby.acquire()
  const newWriter = await startWriter(standby.db, announcer, { epoch: next.writer.epoch })
  await changeDevice(newWriter, '@served:x')
  expect(performance.now() - since).toBeLessThan(5000)
  // The old one goes on (kill -CONT): what it had open fails, and so does what it begins on new connections.
  resumed.resolve()
  await expect(late).rejects.toThrow()
  await expect(changeDevice(oldWriter, '@late:x')).rejects.toBeInstanceOf(FencedError)
  expect(fenced).toBe(1)
  expect(held.lost.aborted).toBe(true)
  const rows = await database.db.query(sql<{ user_id: string }>('test.changes', 'SELECT user_id FROM device_changes_stream'))
  expect(rows.map((row) => row.user_id)).toEqual(['@served:x'])
  await oldWriter.stop()
  await newWriter.stop()
  await oldDb.close()
  await standby.stop(next)
})

test('a process that becomes the writer again ends what it left open before', async () => {
  const again = process('lease-again')
  const held = await again.acquire()
  const holding = Promise.withResolvers<void>()
  const resumed = Promise.withResolvers<void>()
  const late = again.db.transaction(async (tx) => {
    const { sql: fence, values } = fenceStatement(held.writer)
    await tx.query(fence, values)
    holding.resolve()
    await resumed.promise
    await tx.query(fence, values)
  })
  await holding.promise
  await held.release()
  const next = await again.acquire()
  expect(next.writer.epoch).toBe(held.writer.epoch + 1)
  resumed.resolve()
  await expect(late).rejects.toThrow()
  await again.stop(next)
})

test('R40: fifty waiters do not spin, and one of them has the lease when it is free', async () => {
  const holder = process('lease-contended')
  const held = await holder.acquire()
  const waiters = Array.from({ length: 50 }, (_, index) => process(`lease-waiter-${index}`))
  const winner = Promise.race(waiters.map(async (waiter) => ({ waiter, held: await waiter.acquire() })))
  const others = Promise.allSettled(waiters.map(() => winner))
  await until(() => waiters.every((waiter) => waiter.log.lines.some((line) => line.message === 'standing by')))
  const polls = () => waiters.reduce((sum, { db }) => sum + (db.statementCounts.get('lease.tryLock') ?? 0), 0)
  const before = polls()
  const since = performance.now()
  await until(() => polls() - before >= 400)
  const perWaiterAndSecond = 400 / 50 / ((performance.now() - since) / 1000)
  expect(perWaiterAndSecond).toBeLessThan(6)
  await holder.stop(held)
  const won = await winner
  expect(won.held.writer.epoch).toBeGreaterThan(held.writer.epoch)
  await others
  await Promise.allSettled(waiters.map((waiter) => waiter.stop(waiter === won.waiter ? won.held : undefined)))
})
