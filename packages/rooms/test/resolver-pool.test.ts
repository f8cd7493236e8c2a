import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { ManualClock, systemClock } from '@weft/kernel'
import { type TestDatabase, testDatabase } from '@weft/testkit'
import { ResolutionExceeded, type ResolutionRequest } from '../src/resolution/resolution.ts'
import { ResolverPool, type ResolverPoolOptions } from '../src/resolution/resolver-pool.ts'
import { encodeDelta } from '../src/state-delta.ts'

let database: TestDatabase
const pools: ResolverPool[] = []

beforeAll(async () => {
  database = await testDatabase()
})
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close()))
  await database.close()
})

function pool(options: Partial<ResolverPoolOptions> = {}): ResolverPool {
  const made = new ResolverPool({ connection: database.connection, applicationName: 'test', clock: systemClock, ...options })
  pools.push(made)
  return made
}

const nothing = {
  roomNid: 1,
  roomId: '!r:x',
  roomVersion: '11',
  groups: [],
  states: [],
  reference: undefined,
  extraGroups: [],
  extraEvents: [],
}
/** Needs no statement. */
const empty: ResolutionRequest = { ...nothing, states: [encodeDelta(new Map())] }
/** Reads state groups, and waits while somebody holds the table. */
const reading: ResolutionRequest = { ...nothing, groups: [1] }

/** Holds up whatever reads state groups until the work is done. */
async function whileGroupsAreLocked<T>(work: () => Promise<T>): Promise<T> {
  const lock = await database.db.dedicated()
  try {
    await lock.script('BEGIN; LOCK TABLE state_groups IN ACCESS EXCLUSIVE MODE')
    return await work()
  } finally {
    await lock.script('ROLLBACK')
    await lock.close()
  }
}

test('threads are opened for work, and closed when there has been none for a while', async () => {
  const clock = new ManualClock()
  const resolver = pool({ clock, idleMs: 1000 })
  expect(resolver.threads).toBe(0)
  expect(await resolver.resolve(empty)).toEqual({ base: undefined, delta: [], size: 0, changes: [] })
  await Promise.all([resolver.resolve(empty), resolver.resolve(empty), resolver.resolve(empty)])
  expect(resolver.threads).toBe(1)
  clock.advance(1000)
  expect(resolver.threads).toBe(0)
  expect(await resolver.resolve(empty)).toMatchObject({ size: 0 })
})

test('a room that holds a thread for long does not keep another waiting', async () => {
  const resolver = pool({ maxThreads: 2 })
  await whileGroupsAreLocked(async () => {
    const heavy = resolver.resolve(reading)
    const late = resolver.resolve(empty)
    expect(await late).toMatchObject({ size: 0 })
    expect(resolver.threads).toBe(2)
    await resolver.close()
    await expect(heavy).rejects.toThrow('closed')
  })
})

test('what waits can be taken back, and what runs is ended when it does not stop by itself', async () => {
  const clock = new ManualClock()
  const resolver = pool({ clock, maxThreads: 1 })
  await resolver.resolve(empty)
  await whileGroupsAreLocked(async () => {
    const [running, waiting] = [new AbortController(), new AbortController()]
    const first = resolver.resolve(reading, running.signal)
    const second = resolver.resolve(empty, waiting.signal)
    waiting.abort(new Error('not any more'))
    await expect(second).rejects.toThrow('not any more')
    running.abort(new Error('nor this'))
    clock.advance(2000)
    await expect(first).rejects.toThrow('nor this')
    expect(resolver.threads).toBe(0)
  })
  expect(await resolver.resolve(empty)).toMatchObject({ size: 0 })
})

test('(R14) a resolution has its time', async () => {
  const clock = new ManualClock()
  const resolver = pool({ clock, deadlineMs: 5000 })
  await resolver.resolve(empty)
  await whileGroupsAreLocked(async () => {
    const endless = resolver.resolve(reading)
    clock.advance(5000)
    await expect(endless).rejects.toBeInstanceOf(ResolutionExceeded)
  })
})

test('(R14) a resolution has its memory, and the process keeps its own', async () => {
  const resolver = pool({ heapMb: 32 })
  const state = new Map(Array.from({ length: 1_000_000 }, (_, i) => [i + 1, i + 1]))
  await expect(resolver.resolve({ ...nothing, states: [encodeDelta(state)] })).rejects.toBeInstanceOf(ResolutionExceeded)
  expect(await resolver.resolve(empty)).toMatchObject({ size: 0 })
})

test('what goes wrong in a thread is told by the error it is', async () => {
  await expect(pool().resolve(reading)).rejects.toThrow('state group 1 is not there')
})
