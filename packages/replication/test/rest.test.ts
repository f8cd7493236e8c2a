import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { ManualClock } from '@weft/kernel'
import { type TestDatabase, testDatabase } from '@weft/testkit'
import { eventsStream, RedisConnections } from '../src/index.ts'
import { makeReplica, makeRoom, redisForm, sendEvent, startWriter, TestLog, TestObserver, Told, until } from './support.ts'

const forms = await redisForm()
afterAll(async () => {
  for (const form of forms) await form.stop()
})

const suite = forms.length > 0 ? describe.each(forms) : describe.skip.each([{ name: 'over Redis' } as never])
suite('a follower $name that nobody waits for', (form) => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await testDatabase()
    await makeRoom(database.db)
  })
  afterAll(() => database.close())

  /** A writer, and a follower that rests after it was told one event, on a clock that stands still. */
  const resting = async () => {
    const published = new TestObserver()
    const writer = await startWriter(database.db, form.announcer(published))
    const told = new Told()
    const clock = new ManualClock()
    const door = { idle: true }
    const replica = makeReplica(database.db, form.announcer(new TestObserver(), clock), told, { isIdle: () => door.idle })
    await replica.start()
    await sendEvent(database.db, writer)
    await until(() => clock.pending > 0)
    const stop = async () => {
      await replica.stop()
      await writer.stop()
    }
    return { writer, published, told, clock, door, replica, stop }
  }

  test('rests between two reads; who asks waits until it has heard of what was announced meanwhile, and then it hears at once', async () => {
    const { writer, published, told, door, replica, stop } = await resting()
    const before = published.counts.published
    const first = told.events.length
    const second = await sendEvent(database.db, writer)
    await until(() => published.counts.published > before)
    // Nothing but a question ends the rest.
    expect(told.events).toHaveLength(first)
    door.idle = false
    const heard = replica.attend()
    expect(heard).toBeInstanceOf(Promise)
    await heard
    expect(told.events.at(-1)?.position).toBe(second)
    expect(replica.attend()).toBeUndefined()
    const third = await sendEvent(database.db, writer)
    expect(await replica.waitFor(eventsStream, third, 30_000)).toBe(true)
    await stop()
  })

  test('ends its rest by itself after a tenth of a second', async () => {
    const { writer, told, clock, replica, stop } = await resting()
    const next = await sendEvent(database.db, writer)
    await until(() => {
      clock.advance(100)
      return replica.position(eventsStream) >= next
    })
    expect(told.events.at(-1)?.position).toBe(next)
    await stop()
  })

  test('a connection that is given up while it is made says nothing', async () => {
    const log = new TestLog()
    const connections = new RedisConnections({ url: form.redis.url, log })
    const redis = connections.commands('given-up')
    const closed = new Promise((resolve) => redis.once('end', resolve))
    redis.once('connect', () => connections.stop())
    await closed
    expect(log.lines).toEqual([])
  })
})
