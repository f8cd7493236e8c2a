import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { systemClock } from '@weft/kernel'
import { RedisUnavailable, startRedis, type TestRedis } from '@weft/testkit'
import { type EphemeralStore, MemoryEphemeralStore, RedisConnections, RedisEphemeralStore, Typing, type TypingRow } from '../src/index.ts'
import { TestLog, until } from './support.ts'

let redis: TestRedis | undefined
try {
  redis = await startRedis()
} catch (err) {
  if (!(err instanceof RedisUnavailable)) throw err
  process.stderr.write(`tests over Redis are skipped: ${err.message}\n`)
}
const connections = redis === undefined ? undefined : new RedisConnections({ url: redis.url, log: new TestLog() })
afterAll(async () => {
  connections?.stop()
  await redis?.stop()
})

const forms: { name: string; make: () => Promise<EphemeralStore> }[] = [
  { name: 'in memory', make: async () => new MemoryEphemeralStore({ clock: systemClock }) },
]
if (connections !== undefined) {
  forms.push({
    name: 'in Redis',
    make: async () => {
      const store = new RedisEphemeralStore({ redis: connections, serverName: `test${Math.random()}`, clock: systemClock })
      await until(() =>
        store.typing().then(
          () => true,
          () => false,
        ),
      )
      return store
    },
  })
}

const room = { roomNid: 1, roomId: '!a' }
const other = { roomNid: 2, roomId: '!b' }

describe.each(forms)('the ephemeral store $name', ({ make }) => {
  let store: EphemeralStore
  beforeAll(async () => {
    store = await make()
  })
  afterAll(() => store.stop())

  test('typing: the whole set of a room with each change, nothing where nothing changed', async () => {
    const first = await store.setTyping(room, '@a:x', 60_000)
    expect(first.row).toMatchObject({ roomNid: 1, roomId: '!a', userIds: ['@a:x'] })
    const second = await store.setTyping(room, '@b:x', 60_000)
    expect(second.row).toMatchObject({ userIds: ['@a:x', '@b:x'], position: first.row!.position + 1 })
    expect((await store.setTyping(room, '@b:x', 60_000)).row).toBeUndefined()
    expect((await store.setTyping(other, '@a:x', undefined)).row).toBeUndefined()
    const ended = await store.setTyping(room, '@a:x', undefined)
    expect(ended.row).toMatchObject({ userIds: ['@b:x'] })
    expect(ended.nextExpiryMs).toBeGreaterThan(0)
    expect(await store.typing()).toEqual({
      position: ended.row!.position,
      rows: [{ position: ended.row!.position, roomNid: 1, roomId: '!a', userIds: ['@b:x'] }],
    })
    await store.setTyping(room, '@b:x', undefined)
    expect((await store.typing()).rows).toEqual([])
  })

  test('typing ends by itself, and the ends are announced', async () => {
    const announced: TypingRow[] = []
    const typing = new Typing({
      store,
      announcer: { announceKeptInRedis: (_stream, rows) => announced.push(...rows) },
      clock: systemClock,
      log: new TestLog(),
    })
    await typing.start()
    await typing.setTyping(room, '@a:x', 60_000)
    await typing.setTyping(other, '@a:x', 10)
    await typing.setTyping(room, '@b:x', 10)
    // Two begin in one room and one ends; one begins and ends in the other.
    await until(() => announced.filter((row) => row.roomId === '!a').length === 3)
    await until(() => announced.filter((row) => row.roomId === '!b').length === 2)
    const last = new Map(announced.map((row) => [row.roomId, row.userIds]))
    expect(last).toEqual(
      new Map([
        ['!a', ['@a:x']],
        ['!b', []],
      ]),
    )
    const positions = announced.map((row) => row.position)
    expect(positions).toEqual(positions.map((_, index) => positions[0]! + index))
    typing.stop()
    await store.setTyping(room, '@a:x', undefined)
  })

  test('ids begin at the clock, so that they rise again after a loss', async () => {
    const { position } = await store.typing()
    expect(position).toBeGreaterThan(Date.now() - 3_600_000)
  })

  test('token buckets: a burst, then as fast as they fill', async () => {
    const limit = { perSecond: 1, burstCount: 3 }
    for (let i = 0; i < 3; i++) expect(await store.take('a', limit)).toEqual({ ok: true })
    const refused = await store.take('a', limit)
    if (refused.ok) throw new Error('a fourth token')
    expect(refused.retryAfterMs).toBeGreaterThan(0)
    expect(refused.retryAfterMs).toBeLessThanOrEqual(1000)
    expect(await store.take('b', limit, 2)).toEqual({ ok: true })
    expect((await store.take('b', limit, 2)).ok).toBe(false)
    expect((await store.take('b', limit, 1)).ok).toBe(true)
  })

  test('token buckets fill again', async () => {
    const limit = { perSecond: 200, burstCount: 1 }
    expect(await store.take('c', limit)).toEqual({ ok: true })
    await until(async () => (await store.take('c', limit)).ok)
  })
})

if (redis !== undefined && connections !== undefined) {
  const running = redis
  test('two processes share one bucket; while Redis is away each has its own, and typing pauses without an error', async () => {
    const make = () => new RedisEphemeralStore({ redis: connections, serverName: 'shared', clock: systemClock })
    const [one, two] = [make(), make()]
    for (const store of [one, two]) {
      await until(() =>
        store.typing().then(
          () => true,
          () => false,
        ),
      )
    }
    const limit = { perSecond: 0.001, burstCount: 1 }
    expect((await one.take('k', limit)).ok).toBe(true)
    expect((await two.take('k', limit)).ok).toBe(false)
    const before = (await one.setTyping(room, '@a:x', 60_000)).row!.position
    await running.kill()
    await expect(one.setTyping(room, '@b:x', 60_000)).rejects.toThrow()
    const typing = new Typing({ store: one, announcer: { announceKeptInRedis: () => {} }, clock: systemClock, log: new TestLog() })
    expect(await typing.setTyping(room, '@b:x', 60_000)).toBeUndefined()
    typing.stop()
    expect((await two.take('k', limit)).ok).toBe(true)
    expect((await two.take('k', limit)).ok).toBe(false)
    await running.restart()
    await until(() =>
      one.typing().then(
        () => true,
        () => false,
      ),
    )
    expect((await one.setTyping(room, '@a:x', 60_000)).row!.position).toBeGreaterThan(before)
    await one.stop()
    await two.stop()
  })
}
