import { afterAll, describe, expect, test } from '@jest/globals'
import { systemClock } from '@weft/kernel'
import { testDatabase } from '@weft/testkit'
import { Redis } from 'ioredis'
import {
  MemoryEphemeralStore,
  RedisConnections,
  RedisEphemeralStore,
  readKeptFrom,
  TortureAnnouncer,
  Typing,
  typingStream,
} from '../src/index.ts'
import { announcerForms, makeReplica, startWriter, TestLog, Told, until } from './support.ts'

const forms = await announcerForms()
afterAll(async () => {
  for (const form of forms) await form.stop()
})

const room = (nid: number) => ({ roomNid: nid, roomId: `!room${nid}` })

describe.each(forms)('typing, announcements $name', (form) => {
  test('reaches followers, heals after loss, and ends when Redis forgets it', async () => {
    await using database = await testDatabase()
    const connections = form.redis === undefined ? undefined : new RedisConnections({ url: form.redis.url, log: new TestLog() })
    const store =
      connections === undefined
        ? new MemoryEphemeralStore({ clock: systemClock })
        : new RedisEphemeralStore({ redis: connections, serverName: 'test', clock: systemClock })
    await until(() =>
      store.typing().then(
        () => true,
        () => false,
      ),
    )
    const medium = form.announcer()
    const writer = await startWriter(database.db, medium)
    const typing = new Typing({ store, announcer: writer, clock: systemClock, log: new TestLog() })
    await typing.start()
    await typing.setTyping(room(1), '@early:x', 60_000)

    let lossy = false
    const torture = new TortureAnnouncer({ announcer: medium, clock: systemClock, random: () => (lossy ? 0 : 0.5), drop: 0.1 })
    const told = new Told()
    const replica = makeReplica(database.db, torture, told, { readKept: readKeptFrom(store) })
    await replica.start()
    // What was there before this follower was.
    await until(() => told.typing.get('!room1')?.includes('@early:x') === true)

    await typing.setTyping(room(1), '@a:x', 60_000)
    await typing.setTyping(room(2), '@a:x', 60_000)
    await until(() => told.typing.get('!room1')?.length === 2 && told.typing.get('!room2')?.length === 1)

    lossy = true
    await typing.setTyping(room(2), '@a:x', undefined)
    await typing.setTyping(room(3), '@a:x', 60_000)
    lossy = false
    await typing.setTyping(room(4), '@a:x', 50)
    await until(() => told.typing.get('!room2')?.length === 0 && told.typing.get('!room3')?.length === 1)
    await until(() => told.typing.get('!room4')?.length === 0)
    expect(await replica.waitFor(typingStream, replica.position(typingStream) + 1, 60_000)).toBe(false)

    await typing.setTyping(room(5), '@a:x', 200)
    await until(() => told.typing.get('!room5')?.length === 1)
    if (form.redis !== undefined) {
      const admin = new Redis(form.redis.url)
      const before = replica.position(typingStream)
      await admin.flushall()
      admin.disconnect()
      await until(() => told.typing.get('!room5')?.length === 0)
      expect(replica.position(typingStream)).toBeGreaterThan(before)
    }
    typing.stop()
    await replica.stop()
    await writer.stop()
    await store.stop()
    connections?.stop()
  })
})
