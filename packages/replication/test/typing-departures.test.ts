import { afterAll, describe, expect, test } from '@jest/globals'
import { systemClock } from '@weft/kernel'
import {
  type CurrentStateDeltasRow,
  type EphemeralStore,
  MemoryEphemeralStore,
  RedisConnections,
  RedisEphemeralStore,
  Typing,
  type TypingRow,
} from '../src/index.ts'
import { redisForm, TestLog, until } from './support.ts'

const [redis] = await redisForm()
const connections = redis === undefined ? undefined : new RedisConnections({ url: redis.redis.url, log: new TestLog() })
afterAll(async () => {
  connections?.stop()
  await redis?.stop()
})

const room = { roomNid: 1, roomId: '!a' }
const other = { roomNid: 2, roomId: '!b' }

async function redisStore(connections: RedisConnections): Promise<RedisEphemeralStore> {
  const store = new RedisEphemeralStore({ redis: connections, serverName: `test${Math.random()}`, clock: systemClock })
  await until(() => isThere(store))
  return store
}

const isThere = (store: EphemeralStore) =>
  store.typing().then(
    () => true,
    () => false,
  )

/** Typing over a store whose commands are counted; it announces into `announced`. */
async function startTyping(store: EphemeralStore) {
  const announced: TypingRow[] = []
  const commands: string[] = []
  const counted: EphemeralStore = {
    setTyping: (...args) => {
      commands.push(`${args[1]} ${args[2] === undefined ? 'ends' : 'types'}`)
      return store.setTyping(...args)
    },
    expireTyping: (due) => store.expireTyping(due),
    typing: () => store.typing(),
    take: (...args) => store.take(...args),
    stop: () => store.stop(),
  }
  const announcer = { announceKeptInRedis: (_stream: unknown, rows: readonly TypingRow[]) => announced.push(...rows) }
  const typing = new Typing({ store: counted, announcer, clock: systemClock, log: new TestLog() })
  await typing.start()
  return { typing, announced, commands, last: (roomId: string) => announced.findLast((row) => row.roomId === roomId)?.userIds }
}

function change(stateKey: string, membership: string | undefined, { roomNid, roomId } = room): CurrentStateDeltasRow {
  return { position: 1, roomNid, roomId, type: membership === undefined ? 'org.weft.test' : 'm.room.member', stateKey, membership }
}

const forms = [
  { name: 'in memory', make: async (): Promise<EphemeralStore> => new MemoryEphemeralStore({ clock: systemClock }) },
  ...(connections === undefined ? [] : [{ name: 'in Redis', make: (): Promise<EphemeralStore> => redisStore(connections) }]),
]

describe.each(forms)('typing of those who depart, $name', ({ make }) => {
  test.each(['leave', 'ban'])('ends with their %s, in that room alone, and theirs alone', async (membership) => {
    await using cleanup = new AsyncDisposableStack()
    const store = await make()
    cleanup.defer(() => store.stop())
    const { typing, announced, commands, last } = await startTyping(store)
    cleanup.defer(() => typing.stop())
    for (const userId of ['@a:x', '@b:x']) await typing.setTyping(room, userId, 60_000)
    await typing.setTyping(other, '@a:x', 60_000)
    typing.endOfDeparted([change('@a:x', membership)])
    await until(() => last('!a')?.length === 1)
    expect(last('!a')).toEqual(['@b:x'])
    expect(last('!b')).toEqual(['@a:x'])
    typing.endOfDeparted([change('@b:x', membership), change('@a:x', membership, other)])
    await until(() => last('!a')?.length === 0 && last('!b')?.length === 0)
    expect((await store.typing()).rows).toEqual([])
    const positions = announced.map((row) => row.position)
    expect(positions).toEqual(positions.map((_, index) => positions[0]! + index))
    expect(commands.filter((command) => command.endsWith('ends'))).toEqual(['@a:x ends', '@b:x ends', '@a:x ends'])
  })

  test('asks the store for nobody who does not type, and for no other change', async () => {
    await using cleanup = new AsyncDisposableStack()
    const store = await make()
    cleanup.defer(() => store.stop())
    const { typing, commands } = await startTyping(store)
    cleanup.defer(() => typing.stop())
    await typing.setTyping(room, '@a:x', 60_000)
    await typing.setTyping(room, '@b:x', 60_000)
    await typing.setTyping(room, '@b:x', undefined)
    commands.length = 0
    typing.endOfDeparted([
      change('@a:x', 'join'),
      change('@a:x', undefined),
      change('@a:x', 'leave', other),
      change('@b:x', 'leave'),
      change('@c:x', 'ban'),
    ])
    expect(commands).toEqual([])
  })

  test('ends also where it is only about to begin, or begins while another ends', async () => {
    await using cleanup = new AsyncDisposableStack()
    const store = await make()
    cleanup.defer(() => store.stop())
    const { typing, last } = await startTyping(store)
    cleanup.defer(() => typing.stop())
    await typing.setTyping(room, '@a:x', 60_000)
    const ended = typing.setTyping(room, '@a:x', undefined)
    const begins = typing.setTyping(room, '@b:x', 60_000)
    expect((await ended)?.userIds).toEqual([])
    typing.endOfDeparted([change('@b:x', 'leave')])
    await begins
    await until(() => last('!a')?.length === 0)
    const about = typing.setTyping(room, '@a:x', 60_000)
    typing.endOfDeparted([change('@a:x', 'leave')])
    expect((await about)?.userIds).toEqual(['@a:x'])
    await until(() => last('!a')?.length === 0)
    expect((await store.typing()).rows).toEqual([])
  })

  test('ends on a writer that took over, too', async () => {
    await using cleanup = new AsyncDisposableStack()
    const store = await make()
    cleanup.defer(() => store.stop())
    const first = await startTyping(store)
    await first.typing.setTyping(room, '@a:x', 60_000)
    await first.typing.setTyping(other, '@b:x', 60_000)
    first.typing.stop()
    const { typing, announced, last } = await startTyping(store)
    cleanup.defer(() => typing.stop())
    expect(announced).toEqual([])
    typing.endOfDeparted([change('@a:x', 'leave')])
    await until(() => last('!a')?.length === 0)
    expect((await store.typing()).rows).toMatchObject([{ ...other, userIds: ['@b:x'] }])
  })
})

if (redis !== undefined && connections !== undefined) {
  test('while Redis is away nothing fails; a writer that took over meanwhile learns who types once it is back', async () => {
    await using cleanup = new AsyncDisposableStack()
    const store = await redisStore(connections)
    cleanup.defer(() => store.stop())
    const first = await startTyping(store)
    cleanup.defer(() => first.typing.stop())
    await first.typing.setTyping(room, '@a:x', 60_000)
    await redis.redis.kill()
    first.typing.endOfDeparted([change('@a:x', 'leave')])
    const { typing, last } = await startTyping(store)
    cleanup.defer(() => typing.stop())
    typing.endOfDeparted([change('@a:x', 'leave')])
    expect(first.announced).toHaveLength(1)
    await redis.redis.restart()
    await until(() => isThere(store))
    // Redis has lost its memory: what the first tells it, the second has not heard from anybody but Redis.
    await first.typing.setTyping(room, '@b:x', 60_000)
    await until(() => {
      typing.endOfDeparted([change('@b:x', 'leave')])
      return last('!a')?.length === 0
    })
  })
}
