import { afterAll, describe, expect, test } from '@jest/globals'
import { systemClock } from '@weft/kernel'
import { testDatabase } from '@weft/testkit'
import { Redis } from 'ioredis'
import { type Announcer, eventsStream, RedisAnnouncer, RedisConnections, receiptsStream, TortureAnnouncer } from '../src/index.ts'
import {
  announcerForms,
  changeDevice,
  makeReplica,
  makeRoom,
  redisForm,
  sendEvent,
  sendReceipt,
  settle,
  startWriter,
  TestLog,
  TestObserver,
  Told,
  until,
} from './support.ts'

const forms = await announcerForms()
afterAll(async () => {
  for (const form of forms) await form.stop()
})

/** A small generator (mulberry32): a run is repeated by its seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function rising(positions: readonly number[]): boolean {
  return positions.every((position, index) => index === 0 || position > positions[index - 1]!)
}

/** Writes of all kinds at once, some of which fail; resolves to what was committed. */
async function traffic(
  database: { db: Parameters<typeof sendEvent>[0] },
  writer: Parameters<typeof sendEvent>[1],
  count: number,
  dice: () => number,
) {
  const committed = { events: [] as number[], deltas: [] as number[], devices: [] as number[] }
  const lanes = Array.from({ length: 6 }, async (_, lane) => {
    for (let i = 0; i < count; i++) {
      const kind = dice()
      if (kind < 0.5) {
        const deltas = dice() < 0.3
        const position = await sendEvent(database.db, writer, { deltas })
        committed.events.push(position)
        if (deltas) committed.deltas.push(position)
      } else if (kind < 0.7) await sendReceipt(writer, `@user${lane}${i}:x`)
      else if (kind < 0.9) committed.devices.push(await changeDevice(writer, '@a:x'))
      else
        await expect(
          changeDevice(writer, '@failed:x', async () => {
            throw new Error('on purpose')
          }),
        ).rejects.toThrow('on purpose')
    }
  })
  await Promise.all(lanes)
  for (const list of Object.values(committed)) list.sort((a, b) => a - b)
  return committed
}

describe.each(forms)('torture $name', (form) => {
  test.each([1, 2, 3])('late, lost, twice and out of order: every row is told once and in order (seed %i)', async (seed) => {
    await using database = await testDatabase()
    await makeRoom(database.db)
    const dice = random(seed)
    const medium = form.announcer()
    const writer = await startWriter(database.db, medium)
    const followers = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const told = new Told()
        const observer = new TestObserver()
        const torture: Announcer = new TortureAnnouncer({
          announcer: medium,
          clock: systemClock,
          random: dice,
          drop: 0.2,
          repeat: 0.2,
          shuffle: 0.3,
          delayMs: 2,
        })
        const replica = makeReplica(database.db, torture, told, { observer })
        await replica.start()
        return { told, replica, observer }
      }),
    )
    const committed = await traffic(database, writer, 40, dice)
    await settle(writer, ...followers.map(({ replica }) => replica))
    for (const { told, observer } of followers) {
      expect(told.events.map((row) => row.position)).toEqual(committed.events)
      expect(told.deltas.map((row) => row.position)).toEqual(committed.deltas)
      expect(told.deviceChanges.map((row) => row.position)).toEqual(committed.devices)
      expect(rising(told.receipts.map((row) => row.position))).toBe(true)
      expect(told.texts.every((text, index) => text?.includes(`text ${told.events[index]!.position} `))).toBe(true)
      for (const position of committed.deltas)
        expect(told.order.indexOf(`delta ${position}`)).toBeLessThan(told.order.indexOf(`event ${position}`))
      expect(observer.counts.refilled).toBeGreaterThan(0)
      expect(observer.counts.poisoned).toBe(0)
    }
    for (const { replica } of followers) await replica.stop()
    await writer.stop()
  })
})

describe('Redis fails under load', () => {
  async function rig() {
    const [form] = await redisForm()
    if (form === undefined) return undefined
    const database = await testDatabase()
    await makeRoom(database.db)
    const writer = await startWriter(database.db, form.announcer())
    const told = new Told()
    const log = new TestLog()
    const observer = new TestObserver()
    const replica = makeReplica(database.db, form.announcer(observer), told, { log, observer })
    await replica.start()
    return {
      form,
      database,
      writer,
      told,
      log,
      observer,
      replica,
      key: 'weft:{test}:stream',
      stop: async () => {
        await replica.stop()
        await writer.stop()
        await form.stop()
        await database.close()
      },
    }
  }

  test('kill -9 and restart: writes go on, followers read the stored positions meanwhile, nothing is lost', async () => {
    const all = await rig()
    if (all === undefined) return
    const { database, writer, told, replica, form } = all
    const dice = random(7)
    const before = await traffic(database, writer, 10, dice)
    await form.redis.kill()
    const during = await traffic(database, writer, 10, dice)
    // Redis stays away until all of it has come by PostgreSQL.
    await settle(writer, replica)
    expect(told.events.map((row) => row.position)).toEqual([...before.events, ...during.events])
    expect(replica.fresh()).toBe(true)
    await form.redis.restart()
    const received = all.observer.counts.received
    const after = await traffic(database, writer, 10, dice)
    await settle(writer, replica)
    await until(() => all.observer.counts.received > received)
    expect(told.events.map((row) => row.position)).toEqual([...before.events, ...during.events, ...after.events])
    await all.stop()
  })

  test('FLUSHALL: nothing is lost, nobody is stuck', async () => {
    const all = await rig()
    if (all === undefined) return
    const { database, writer, told, replica, form } = all
    const admin = new Redis(form.redis.url)
    const dice = random(8)
    const flushing = (async () => {
      for (let i = 0; i < 5; i++) {
        await admin.flushall()
        await until(async () => (await admin.exists(all.key)) === 1)
      }
    })()
    const committed = await traffic(database, writer, 40, dice)
    await flushing
    await settle(writer, replica)
    expect(told.events.map((row) => row.position)).toEqual(committed.events)
    expect(told.deviceChanges.map((row) => row.position)).toEqual(committed.devices)
    admin.disconnect()
    await all.stop()
  })

  test('a Redis whose clock went back: its ids restart lower, and followers read on', async () => {
    const all = await rig()
    if (all === undefined) return
    const { database, writer, told, replica, form, observer } = all
    const admin = new Redis(form.redis.url)
    const ahead = `${Date.now() + 3_600_000}-0`
    await admin.xadd(all.key, ahead, 'a', '[]')
    const first = await sendEvent(database.db, writer)
    await settle(writer, replica)
    await admin.flushall()
    const received = observer.counts.received
    const second = await sendEvent(database.db, writer)
    await settle(writer, replica)
    // Not by PostgreSQL alone: announcements arrive again.
    await until(() => observer.counts.received > received)
    expect(told.events.map((row) => row.position)).toEqual([first, second])
    admin.disconnect()
    await all.stop()
  })

  test('a Redis that stands still (kill -STOP) holds up neither writer nor follower', async () => {
    const all = await rig()
    if (all === undefined) return
    const { database, writer, told, replica, form } = all
    const dice = random(9)
    const before = await traffic(database, writer, 5, dice)
    form.redis.process!.kill('SIGSTOP')
    const during = await traffic(database, writer, 5, dice)
    await settle(writer, replica)
    form.redis.process!.kill('SIGCONT')
    const after = await traffic(database, writer, 5, dice)
    await settle(writer, replica)
    expect(told.events.map((row) => row.position)).toEqual([...before.events, ...during.events, ...after.events])
    await all.stop()
  })

  test('R42: poisoned entries are logged and counted, and treated as gaps', async () => {
    const all = await rig()
    if (all === undefined) return
    const { database, writer, told, replica, form, log, observer } = all
    const admin = new Redis(form.redis.url)
    const position = replica.position(eventsStream)
    const row = { position: position + 1, roomNid: 1 }
    const far = 9_000_000_000_000
    const poison: string[][] = [
      ['x', 'y'],
      ['a', 'no JSON'],
      ['a', '{"stream":"events"}'],
      ['a', JSON.stringify([{ stream: 'events', instance: 'writer', prev: position, token: position + 1, rows: [row] }])],
      ['a', JSON.stringify([{ stream: 'events', instance: 'writer', prev: far, token: far + 1, rows: [] }])],
      ['a', JSON.stringify([{ stream: 'receipts', instance: 'writer', prev: 5, token: 4, rows: [] }])],
      [
        'a',
        JSON.stringify([
          { stream: 'to_device', instance: 'writer', prev: 0, token: 1, rows: [{ position: 2, userId: '@a:x', deviceId: 'D' }] },
        ]),
      ],
      ['a', JSON.stringify([{ stream: 'to_device', instance: 'writer', prev: -1, token: 1e300, rows: [] }])],
      ['a', JSON.stringify([{ stream: 'to_device', instance: 'writer', prev: 0, token: 1, rows: [], texts: [3] }]), 'x0', 'abc'],
      ['a', '['.repeat(100_000)],
      ['a', JSON.stringify([{ stream: 'constructor', instance: '__proto__', prev: 0, token: 1, rows: [] }])],
    ]
    for (const fields of poison) await admin.xadd(all.key, '*', ...fields)
    const sent = await sendEvent(database.db, writer)
    await settle(writer, replica)
    await until(() => observer.counts.poisoned === 10)
    expect(log.lines.filter((line) => line.message.startsWith('an announcement was not understood')).length).toBe(10)
    expect(told.events.map((one) => one.position)).toEqual([sent])
    expect(replica.position(eventsStream)).toBe(sent)
    expect(replica.position(receiptsStream)).toBe(0)
    admin.disconnect()
    await all.stop()
  })

  test('the stream is bounded in bytes, whatever a predecessor left in it', async () => {
    const [form] = await redisForm()
    if (form === undefined) return
    const admin = new Redis(form.redis.url)
    const key = 'weft:{test}:stream'
    const limit = 1024 * 1024
    const connections = new RedisConnections({ url: form.redis.url, log: new TestLog() })
    const used = async () => Number(await admin.memory('USAGE', key, 'SAMPLES', 0))
    for (let round = 0; round < 2; round++) {
      const observer = new TestObserver()
      const announcer = new RedisAnnouncer({
        redis: connections,
        serverName: 'test',
        clock: systemClock,
        log: new TestLog(),
        observer,
        maxBytes: limit,
      })
      const entry = (i: number) => ({
        announcements: [{ stream: 'events', instance: 'writer', prev: i, token: i + 1, rows: [{}], texts: ['x'.repeat(i % 4000)] }],
      })
      await until(() => {
        announcer.publish(entry(1))
        return observer.counts.published > 0
      })
      for (let i = 0; i < 3000; i++) {
        announcer.publish(entry(i))
        if (i % 100 === 0) await admin.ping()
      }
      // Redis frees whole nodes and allocates in steps: up to as much again.
      expect(await used()).toBeGreaterThan(limit / 2)
      expect(await used()).toBeLessThan(limit * 2)
      await announcer.stop()
    }
    connections.stop()
    admin.disconnect()
    await form.stop()
  })
})
