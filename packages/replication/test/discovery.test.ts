import { afterAll, describe, expect, test } from '@jest/globals'
import { systemClock } from '@weft/kernel'
import { RedisUnavailable, startRedis, type TestRedis } from '@weft/testkit'
import { Redis } from 'ioredis'
import {
  type AckBus,
  Acks,
  acknowledgeTo,
  type Discovery,
  deviceChangesStream,
  eventsStream,
  type Instance,
  MemoryAckBus,
  MemoryDiscovery,
  type Presence,
  RedisAckBus,
  RedisConnections,
  RedisDiscovery,
} from '../src/index.ts'
import { TestLog, until } from './support.ts'

let redis: TestRedis | undefined
try {
  redis = await startRedis()
} catch (err) {
  if (!(err instanceof RedisUnavailable)) throw err
  process.stderr.write(`tests over Redis are skipped: ${err.message}\n`)
}
const connections = redis === undefined ? undefined : new RedisConnections({ url: redis.url, log: new TestLog() })
const opened: { stop(): Promise<void> }[] = []
afterAll(async () => {
  for (const one of opened) await one.stop()
  connections?.stop()
  await redis?.stop()
})

interface Form {
  name: string
  /** What two processes are given. */
  pair(): Promise<{ a: Discovery; b: Discovery; busA: AckBus; busB: AckBus }>
}

const forms: Form[] = [
  {
    name: 'in memory',
    pair: async () => {
      const [discovery, bus] = [new MemoryDiscovery(), new MemoryAckBus()]
      return { a: discovery, b: discovery, busA: bus, busB: bus }
    },
  },
]
if (connections !== undefined) {
  forms.push({
    name: 'in Redis',
    pair: async () => {
      const serverName = `test${Math.random()}`
      const options = { redis: connections, serverName, clock: systemClock, log: new TestLog() }
      const [a, b] = [new RedisDiscovery(options), new RedisDiscovery(options)]
      const [busA, busB] = [new RedisAckBus(options), new RedisAckBus(options)]
      await Promise.all([a.start(), b.start()])
      opened.push(a, b, busA, busB)
      return { a, b, busA, busB }
    },
  })
}

const sync: Instance = { instance: 'sync-1', class: 'sync', address: 'http://127.0.0.1:1', state: 'starting' }

describe.each(forms)('discovery $name', ({ pair }) => {
  test('an instance, its changes of state and its going are seen by others', async () => {
    const { a, b } = await pair()
    let changes = 0
    b.onChange(() => changes++)
    const presence = a.announce(sync)
    await until(() => b.list('sync').some((one) => one.state === 'starting'))
    presence.update({ state: 'ready' })
    await until(() => b.list('sync').some((one) => one.state === 'ready'))
    expect(b.list('writer')).toEqual([])
    expect(b.list()).toMatchObject([{ instance: 'sync-1', address: 'http://127.0.0.1:1' }])
    await presence.withdraw()
    await until(() => b.list().length === 0)
    expect(changes).toBeGreaterThanOrEqual(3)
  })

  test('acks: a wait ends once all live followers have passed the position, and at the latest when its time is up', async () => {
    const { a, b, busA, busB } = await pair()
    const acks = new Acks({ bus: busA, discovery: a, clock: systemClock })
    expect(await acks.waitForAcks(deviceChangesStream, 5)).toBe(true)
    const presences: Presence[] = []
    const acknowledge = (['sync-1', 'sync-2'] as const).map((instance) => {
      const presence = b.announce({ ...sync, instance, state: 'ready' })
      presences.push(presence)
      return acknowledgeTo(instance === 'sync-1' ? busA : busB, instance, () => presence)
    })
    b.announce({ ...sync, instance: 'sync-3', state: 'starting' })
    b.announce({ ...sync, instance: 'writer-1', class: 'writer', state: 'ready' })
    b.announce({ ...sync, instance: 'router-1', class: 'router', state: 'ready' })
    await until(() => a.list().length === 5)
    const waiting = acks.waitForAcks(deviceChangesStream, 5, 1000)
    acknowledge[0]!('device_changes', 5)
    acknowledge[1]!('device_changes', 4)
    acknowledge[1]!('device_changes', 6)
    expect(await waiting).toBe(true)
    expect(await acks.waitForAcks(deviceChangesStream, 7, 1)).toBe(false)
    const leaving = acks.waitForAcks(deviceChangesStream, 7, 1000)
    acknowledge[0]!('device_changes', 7)
    await presences[1]!.withdraw()
    expect(await leaving).toBe(true)
    expect(await acks.waitForAcks(eventsStream, 1, 1)).toBe(false)
    acks.stop()
  })
})

if (redis !== undefined && connections !== undefined) {
  const running = redis
  const make = async (serverName: string) => {
    const discovery = new RedisDiscovery({ redis: connections, serverName, clock: systemClock, log: new TestLog() })
    await discovery.start()
    opened.push(discovery)
    return discovery
  }

  test('after FLUSHALL nobody vanishes, and what was announced comes back', async () => {
    const [a, b] = [await make('flushed'), await make('flushed')]
    a.announce({ ...sync, state: 'ready' })
    await until(() => b.list().length === 1)
    let gone = false
    b.onChange(() => {
      gone ||= b.list().length === 0
    })
    const admin = new Redis(running.url)
    await admin.flushall()
    await until(async () => (await admin.hlen('weft:{flushed}:instances')) === 1)
    const late = await make('flushed')
    await until(() => late.list().length === 1)
    expect(gone).toBe(false)
    admin.disconnect()
  })

  test('R42: an entry that is not understood is passed over', async () => {
    const [a, b] = [await make('poisoned'), await make('poisoned')]
    const admin = new Redis(running.url)
    await admin.hset(
      'weft:{poisoned}:instances',
      'x',
      '99999999999999 {"instance":"x","class":"constructor"}',
      'y',
      'garbage',
      'z',
      '99999999999999 nope',
    )
    a.announce({ ...sync, state: 'ready' })
    await until(() => b.list().length > 0)
    expect(b.list().map((one) => one.instance)).toEqual(['sync-1'])
    admin.disconnect()
  })

  test('while Redis is away the instances last known stand; a restart brings no gap', async () => {
    const [a, b] = [await make('restarted'), await make('restarted')]
    a.announce({ ...sync, state: 'ready' })
    await until(() => b.list().length === 1)
    await running.kill()
    const late = await make('restarted')
    expect(late.list()).toEqual([])
    expect(b.list().length).toBe(1)
    let gone = false
    b.onChange(() => {
      gone ||= b.list().length === 0
    })
    await running.restart()
    await until(() => late.list().length === 1)
    expect(b.list().length).toBe(1)
    expect(gone).toBe(false)
  })
}
