import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { TestDatabase } from '@weft/testkit'
import { testDatabase } from '@weft/testkit'
import { currentStateDeltasStream, deviceChangesStream, eventsStream, receiptsStream } from '../src/index.ts'
import {
  announcerForms,
  changeDevice,
  eventRow,
  makeReplica,
  makeRoom,
  sendEvent,
  sendReceipt,
  settle,
  startWriter,
  storeEvent,
  TestObserver,
  Told,
  until,
} from './support.ts'

const forms = await announcerForms()
afterAll(async () => {
  for (const form of forms) await form.stop()
})

describe.each(forms)('announcements $name', (form) => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
    await makeRoom(database.db)
  })
  afterAll(() => database.close())

  test('rows reach a follower once, in order, deltas before the event that brought them', async () => {
    const announcer = form.announcer()
    const writer = await startWriter(database.db, announcer)
    const told = new Told()
    const observer = new TestObserver()
    const replica = makeReplica(database.db, announcer, told, { observer })
    await replica.start()
    const first = await sendEvent(database.db, writer, { deltas: true })
    await sendEvent(database.db, writer)
    const receipt = await sendReceipt(writer, '@a:x')
    const device = await changeDevice(writer, '@a:x')
    await settle(writer, replica)
    expect(told.order).toEqual([`delta ${first}`, `event ${first}`, `event ${first + 1}`, `receipt ${receipt}`, `device ${device}`])
    expect(told.texts[1]).toContain(`text ${first + 1} ☃`)
    expect(replica.position(eventsStream)).toBe(first + 1)
    expect(replica.position(currentStateDeltasStream)).toBe(first + 1)
    expect(replica.position(receiptsStream)).toBe(receipt)
    expect(replica.fresh()).toBe(true)
    await replica.stop()
    await writer.stop()
  })

  test('a follower that starts late begins at the stored positions and is told only what comes after', async () => {
    const announcer = form.announcer()
    const writer = await startWriter(database.db, announcer)
    const before = await sendEvent(database.db, writer)
    const told = new Told()
    const replica = makeReplica(database.db, announcer, told)
    let loadedAt: number | undefined
    await replica.start(async (positions) => {
      loadedAt = positions.get('events')
    })
    const after = await sendEvent(database.db, writer)
    await settle(writer, replica)
    expect(loadedAt).toBe(before)
    expect(told.events.map((row) => row.position)).toEqual([after])
    await replica.stop()
    await writer.stop()
  })

  test('waitFor resolves when the position is reached, and to false when it is not in time', async () => {
    const announcer = form.announcer()
    const writer = await startWriter(database.db, announcer)
    const replica = makeReplica(database.db, announcer, new Told())
    await replica.start()
    const next = replica.position(eventsStream) + 1
    const waiting = replica.waitFor(eventsStream, next, 30_000)
    await sendEvent(database.db, writer)
    expect(await waiting).toBe(true)
    expect(await replica.waitFor(eventsStream, next + 1000, 1)).toBe(false)
    expect(await replica.everHandedOut(eventsStream)).toBe(next)
    const aborted = new AbortController()
    const ended = replica.waitFor(deviceChangesStream, next + 1000, 30_000, aborted.signal)
    aborted.abort()
    expect(await ended).toBe(false)
    await replica.stop()
    await writer.stop()
  })

  test('a writer that dies between COMMIT and announcement: its successor heals the position, and followers read the rows', async () => {
    const announcer = form.announcer()
    const writer = await startWriter(database.db, announcer)
    const told = new Told()
    const replica = makeReplica(database.db, announcer, told)
    await replica.start()
    const last = await sendEvent(database.db, writer)
    await settle(writer, replica)
    await writer.stop()
    // Committed by the first writer, neither stored nor announced.
    await storeEvent(database.db, eventRow(last + 1))
    const successor = await startWriter(database.db, announcer)
    await settle(successor, replica)
    expect(told.events.map((row) => row.position)).toEqual([last, last + 1])
    const next = await sendEvent(database.db, successor)
    expect(next).toBe(last + 2)
    await settle(successor, replica)
    expect(told.events.map((row) => row.position)).toEqual([last, last + 1, last + 2])
    await replica.stop()
    await successor.stop()
  })
})

test('commits that land out of id order are announced in order, and only once nothing older is open', async () => {
  const form = forms[0]!
  await using database = await testDatabase()
  await makeRoom(database.db)
  const announcer = form.announcer()
  const writer = await startWriter(database.db, announcer)
  const told = new Told()
  const replica = makeReplica(database.db, announcer, told)
  await replica.start()
  const gate = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const slow = changeDevice(writer, '@slow:x', async () => {
    reached.resolve()
    await gate.promise
  })
  await reached.promise
  const fast = await changeDevice(writer, '@fast:x')
  const failed = changeDevice(writer, '@failed:x', async () => {
    throw new Error('on purpose')
  })
  await expect(failed).rejects.toThrow('on purpose')
  expect(writer.positions().get('device_changes')).toBe(0)
  expect(await replica.everHandedOut(deviceChangesStream)).toBe(0)
  gate.resolve()
  const first = await slow
  expect(first).toBeLessThan(fast)
  await settle(writer, replica)
  await until(() => told.deviceChanges.length === 2)
  expect(told.deviceChanges.map((row) => row.position)).toEqual([first, fast])
  // The failed write's id is given out but nothing stands there: it is not a position.
  expect(await replica.everHandedOut(deviceChangesStream)).toBe(fast)
  await replica.stop()
  await writer.stop()
})
