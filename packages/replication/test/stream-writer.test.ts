import { mkdtempSync } from 'node:fs'
import { chmod, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { systemClock } from '@weft/kernel'
import { CommitOutcomeUnknown, EmbeddedPostgres, isConnectionError, type Tx } from '@weft/storage'
import { makeTemplate, postgresBinaries, testDatabase } from '@weft/testkit'
import {
  accountDataStream,
  deviceChangesStream,
  eventsStream,
  LocalAnnouncer,
  type ReactionsOf,
  Replica,
  receiptsStream,
  streams,
  toDeviceStream,
  type WriterDatabase,
} from '../src/index.ts'
import {
  changeDevice,
  makeReplica,
  makeRoom,
  sendEvent,
  sendReceipt,
  settle,
  startWriter,
  TestLog,
  TestObserver,
  Told,
  until,
} from './support.ts'

const announcer = () => new LocalAnnouncer({ observer: new TestObserver() })

test('a COMMIT whose answer was lost is settled by asking PostgreSQL', async () => {
  await using database = await testDatabase()
  const { db } = database
  let outcome: 'committed' | 'rolled back' | undefined
  // The connection breaks before or after the commit, as the caller sees it.
  const breaking: WriterDatabase = {
    query: (statement, values) => db.query(statement, values),
    execute: (statement, values) => db.execute(statement, values),
    commitPipeline: (statements) => db.commitPipeline(statements),
    endBackend: (unknown) => db.endBackend(unknown),
    transaction: async <T>(fn: (tx: Tx) => Promise<T>): Promise<T> => {
      if (outcome === undefined) return await db.transaction(fn)
      const lost = new CommitOutcomeUnknown(0, new Error('the connection broke'))
      await db
        .transaction(async (tx) => {
          await fn(tx)
          if (outcome === 'rolled back') throw lost
        })
        .catch((err) => {
          if (err !== lost) throw err
        })
      throw lost
    },
  }
  const local = announcer()
  const writer = await startWriter(breaking, local)
  const told = new Told()
  const replica = makeReplica(db, local, told)
  await replica.start()
  outcome = 'committed'
  const kept = await changeDevice(writer, '@kept:x')
  outcome = 'rolled back'
  await expect(changeDevice(writer, '@lost:x')).rejects.toBeInstanceOf(CommitOutcomeUnknown)
  outcome = undefined
  const next = await changeDevice(writer, '@next:x')
  await settle(writer, replica)
  expect(told.deviceChanges.map((row) => [row.position, row.userId])).toEqual([
    [kept, '@kept:x'],
    [next, '@next:x'],
  ])
  await replica.stop()
  await writer.stop()
})

test('positions are stored by the commit itself, and never lowered', async () => {
  await using database = await testDatabase()
  await makeRoom(database.db)
  const writer = await startWriter(database.db, announcer())
  const replica = makeReplica(database.db, announcer(), new Told())
  for (let i = 0; i < 3; i++) {
    const before = database.db.statementCounts.get('streamPositions.store') ?? 0
    const position = await sendEvent(database.db, writer)
    expect(await replica.everHandedOut(eventsStream)).toBe(position)
    expect(database.db.statementCounts.get('streamPositions.store')).toBe(before + 1)
  }
  const concurrent = await Promise.all(Array.from({ length: 20 }, (_, index) => sendReceipt(writer, `@u${index}:x`)))
  await until(() => !writer.busy)
  expect(await replica.everHandedOut(receiptsStream)).toBe(Math.max(...concurrent))
  expect(writer.positions().get('receipts')).toBe(Math.max(...concurrent))
  await writer.stop()
})

test('rows read again from the tables are those that were announced', async () => {
  await using database = await testDatabase()
  await makeRoom(database.db)
  const local = announcer()
  const writer = await startWriter(database.db, local)
  const told = new Told()
  const replica = makeReplica(database.db, local, told)
  await replica.start()
  for (let i = 0; i < 5; i++) await sendEvent(database.db, writer, { deltas: true })
  await changeDevice(writer, '@a:x')
  await sendReceipt(writer, '@a:x')
  await settle(writer, replica)
  for (const [stream, rows] of [
    [eventsStream, told.events],
    [streams.currentStateDeltas, told.deltas],
    [deviceChangesStream, told.deviceChanges],
    [receiptsStream, told.receipts],
  ] as const) {
    const newest = await stream.kept.newest(database.db)
    const again = await stream.kept.refill(database.db, 0, newest, 1000)
    expect(again.through).toBe(newest)
    expect(JSON.parse(JSON.stringify(again.rows))).toEqual(JSON.parse(JSON.stringify(rows)))
    const paged = await stream.kept.refill(database.db, 0, newest, 2)
    expect(paged.through).toBeLessThanOrEqual(newest)
    expect(paged.rows).toEqual(again.rows.slice(0, paged.rows.length))
  }
  for (const stream of [accountDataStream, toDeviceStream]) {
    expect(await stream.kept.newest(database.db)).toBe(0)
    expect(await stream.kept.refill(database.db, 0, 10, 1000)).toEqual({ rows: [], through: 10 })
  }
  await replica.stop()
  await writer.stop()
})

test('PostgreSQL is killed and comes back: writes fail and work again, a follower waits with its gap and fills it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-pg-'))
  await chmod(folder, 0o755)
  const start = () => EmbeddedPostgres.start({ binaries: postgresBinaries(18), dataDir: join(folder, 'data'), fsync: false })
  let server = await start()
  await makeTemplate(server.connection)
  const database = await testDatabase({ server: server.connection })
  await makeRoom(database.db)
  const local = announcer()
  const writer = await startWriter(database.db, local)
  const told = new Told()
  const log = new TestLog()
  const replica = makeReplica(database.db, local, told, { log })
  await replica.start()
  const first = await sendEvent(database.db, writer)
  await settle(writer, replica)

  process.kill(server.pid, 'SIGKILL')
  await server.exited
  expect(await sendEvent(database.db, writer).then(() => false, isConnectionError)).toBe(true)
  expect(await changeDevice(writer, '@gone:x').then(() => false, isConnectionError)).toBe(true)
  const resynced = replica.resync()
  await until(() => log.lines.some((line) => line.message.startsWith('stored positions could not be read')))

  server = await start()
  await resynced
  const second = await sendEvent(database.db, writer)
  await changeDevice(writer, '@back:x')
  await settle(writer, replica)
  expect(told.events.map((row) => row.position)).toEqual([first, second])
  expect(told.deviceChanges.map((row) => row.userId)).toEqual(['@back:x'])
  await replica.stop()
  await writer.stop()
  await database.close()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

test('a class that leaves a stream it reads without a reaction does not compile', () => {
  const { events: _events, ...without } = new Told().reactions()
  // @ts-expect-error `events` is missing
  const incomplete: ReactionsOf<'sync'> = without
  expect(Object.keys(incomplete)).not.toContain('events')
  // @ts-expect-error a writer gives a reaction to device changes
  const writer: ReactionsOf<'writer'> = {}
  expect(writer).toEqual({})
  const router: ReactionsOf<'router'> = {}
  expect(new Set(Object.keys(router))).toEqual(new Set())
})

test('a reaction that throws holds up neither the stream nor other readers', async () => {
  await using database = await testDatabase()
  await makeRoom(database.db)
  const local = announcer()
  const writer = await startWriter(database.db, local)
  const told = new Told()
  const observer = new TestObserver()
  const replica = new Replica({
    class: 'sync',
    streams,
    reactions: {
      ...told.reactions(),
      events: () => {
        throw new Error('on purpose')
      },
    },
    writer: 'writer',
    db: database.db,
    announcer: local,
    readKept: async () => undefined,
    clock: systemClock,
    log: new TestLog(),
    observer,
  })
  const others: number[] = []
  replica.react(eventsStream, (rows) => others.push(...rows.map((row) => row.position)))
  await replica.start()
  const sent = await sendEvent(database.db, writer)
  await settle(writer, replica)
  expect(others).toEqual([sent])
  expect(observer.counts.reactionFailed).toBe(1)
  await replica.stop()
  await writer.stop()
})
