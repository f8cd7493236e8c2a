import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { bodies, ids, type SyncProcess, turn, types, World } from './support.ts'

let world: World
let process: SyncProcess

beforeAll(async () => {
  world = await World.create()
  process = await world.process()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

describe('initial sync', () => {
  test('shows joined rooms with state before the timeline and the timeline itself', async () => {
    const room = await world.rooms.room('@init-a:test', {
      state: [{ type: 'm.room.name', sender: '@init-a:test', stateKey: '', content: { name: 'One' } }],
    })
    for (let i = 0; i < 12; i++) await room.message('@init-a:test', `m${i}`)
    await world.settle()
    const device = await world.device(process, '@init-a:test')
    const answer = await device.sync()
    const joined = answer.rooms?.join?.[room.roomId]
    expect(bodies(joined)).toEqual(Array.from({ length: 10 }, (_, i) => `m${i + 2}`))
    expect(joined?.timeline.limited).toBe(true)
    expect(joined?.timeline.prev_batch).toMatch(/^p\d+$/)
    expect(types(joined?.state.events)).toEqual(['m.room.create', 'm.room.member', 'm.room.name'])
    expect(joined?.summary).toEqual({ 'm.heroes': [], 'm.joined_member_count': 1, 'm.invited_member_count': 0 })
  })

  test('leaves the state of the timeline out of the state at its start', async () => {
    const room = await world.rooms.room('@init-b:test')
    await room.state('@init-b:test', 'm.room.topic', { topic: 'old' })
    await room.message('@init-b:test', 'x')
    await room.state('@init-b:test', 'm.room.topic', { topic: 'new' })
    await room.state('@init-b:test', 'm.room.name', { name: 'n' })
    await world.settle()
    const device = await world.device(process, '@init-b:test')
    const two = await device.peek({ json: { room: { timeline: { limit: 2 } } } })
    const joined = two.rooms?.join?.[room.roomId]
    expect(types(joined?.timeline.events)).toEqual(['m.room.name', 'm.room.topic'])
    expect(joined?.state.events.find((event) => event.type === 'm.room.topic')?.content).toEqual({ topic: 'old' })
    expect(joined?.state.events.some((event) => event.type === 'm.room.name')).toBe(false)
    const topic = joined?.timeline.events.find((event) => event.type === 'm.room.topic')
    expect(topic?.unsigned?.prev_content).toEqual({ topic: 'old' })
    expect(topic?.unsigned?.replaces_state).toMatch(/^\$/)
    const after = await device.peek({ json: { room: { timeline: { limit: 2 } } }, useStateAfter: true })
    const withAfter = after.rooms?.join?.[room.roomId]
    expect(withAfter).not.toHaveProperty('state')
    expect(withAfter?.state_after?.events.find((event) => event.type === 'm.room.topic')?.content).toEqual({ topic: 'new' })
    expect(types(withAfter?.state_after?.events)).toEqual(['m.room.create', 'm.room.member', 'm.room.name', 'm.room.topic'])
    const all = await device.peek()
    expect(all.rooms?.join?.[room.roomId]?.state.events).toEqual([])
    expect(all.rooms?.join?.[room.roomId]?.timeline.limited).toBe(false)
  })

  test('takes the same number of statements for one room and for thirty', async () => {
    const statements = async (userId: string) => {
      const device = await world.device(process, userId)
      await device.peek()
      const before = world.test.db.statementCount
      await device.peek()
      return world.test.db.statementCount - before
    }
    await world.rooms.room('@few:test').then((room) => room.message('@few:test', 'x'))
    for (let i = 0; i < 30; i++) await world.rooms.room('@many:test').then((room) => room.message('@many:test', 'x'))
    await world.settle()
    expect(await statements('@many:test')).toBe(await statements('@few:test'))
  })
})

describe('a room of very many members', () => {
  test('is shown whole, from the table and from memory, though it is read in parts', async () => {
    const members = Array.from({ length: 4200 }, (_, i) => `@crowd-${i}:test`)
    const room = await world.rooms.room('@crowd:test')
    await room.join(...members)
    await room.member('@crowd-7:test', 'leave')
    await room.message('@crowd:test', 'hello')
    await world.settle()
    const device = await world.device(process, '@crowd:test')
    const shown = async () => {
      const joined = (await device.peek()).rooms?.join?.[room.roomId]
      expect(joined?.summary).toMatchObject({ 'm.joined_member_count': 4200 })
      const all = [...(joined?.state.events ?? []), ...(joined?.timeline.events ?? [])].filter((event) => event.type === 'm.room.member')
      return new Map(all.map((event) => [event.state_key, event.content.membership]))
    }
    for (const answer of [await shown(), await shown()]) {
      expect(answer.size).toBe(4201)
      expect(members.filter((userId) => answer.get(userId) !== (userId === '@crowd-7:test' ? 'leave' : 'join'))).toEqual([])
    }
  })
})

describe('incremental sync', () => {
  test('wakes a waiting request with the new event, and executes no statement for it', async () => {
    const room = await world.rooms.room('@wake-a:test')
    await room.join('@wake-b:test')
    await world.settle()
    const device = await world.device(process, '@wake-b:test')
    await device.sync()
    const waiting = await device.wait()
    const sent = world.test.db.statementCount
    const commit = await room.message('@wake-a:test', 'hello')
    const byWriter = world.test.db.statementCount - sent
    const answer = await waiting()
    expect(world.test.db.statementCount - sent - byWriter).toBe(0)
    const joined = answer.rooms?.join?.[room.roomId]
    expect(ids(joined?.timeline.events)).toEqual([commit.eventId])
    expect(joined?.timeline.limited).toBe(false)
    expect(joined?.state.events).toEqual([])
    expect(joined?.summary).toBeUndefined()
  })

  test('executes no statement for typing, receipts and account data either', async () => {
    const room = await world.rooms.room('@quiet-a:test')
    await room.join('@quiet-b:test')
    const event = await room.message('@quiet-a:test', 'x')
    await world.settle()
    const device = await world.device(process, '@quiet-b:test')
    await device.sync()
    await device.sync()
    world.typing(room, '@quiet-a:test')
    await world.receipt(room, '@quiet-a:test', event.eventId)
    await world.accountData('@quiet-b:test', 'm.tag', { tags: {} }, room)
    await world.settle()
    const before = world.test.db.statementCount
    const answer = await device.sync()
    expect(world.test.db.statementCount).toBe(before)
    const joined = answer.rooms?.join?.[room.roomId]
    expect(types(joined?.ephemeral.events)).toEqual(['m.receipt', 'm.typing'])
    expect(joined?.account_data.events).toEqual([{ type: 'm.tag', content: { tags: {} } }])
    expect(joined?.timeline.events).toEqual([])
  })

  test('gives everything again when the answer was lost', async () => {
    const room = await world.rooms.room('@lost-a:test')
    await world.settle()
    const device = await world.device(process, '@lost-a:test')
    await device.sync()
    await room.message('@lost-a:test', 'once')
    await room.state('@lost-a:test', 'm.room.topic', { topic: 't' })
    await world.settle()
    const first = await device.peek()
    expect(await device.peek()).toEqual(first)
    expect(first.rooms?.join?.[room.roomId]?.timeline.events).toHaveLength(2)
  })

  test('cuts the timeline and sends the state of the gap', async () => {
    const room = await world.rooms.room('@gap-a:test')
    await world.settle()
    const device = await world.device(process, '@gap-a:test')
    await device.sync()
    await room.state('@gap-a:test', 'm.room.topic', { topic: 'in the gap' })
    await room.join('@gap-b:test')
    for (let i = 0; i < 3; i++) await room.message('@gap-b:test', `m${i}`)
    await world.settle()
    const answer = await device.sync({ json: { room: { timeline: { limit: 2 } } } })
    const joined = answer.rooms?.join?.[room.roomId]
    expect(bodies(joined)).toEqual(['m1', 'm2'])
    expect(joined?.timeline.limited).toBe(true)
    expect(types(joined?.state.events)).toEqual(['m.room.member', 'm.room.topic'])
    expect(joined?.summary).toEqual({ 'm.heroes': ['@gap-b:test'], 'm.joined_member_count': 2, 'm.invited_member_count': 0 })
  })

  test('an old token is answered from PostgreSQL as memory would have, by any process', async () => {
    const room = await world.rooms.room('@cold-a:test')
    const other = await world.rooms.room('@cold-a:test')
    await world.settle()
    const device = await world.device(process, '@cold-a:test')
    await device.sync()
    await room.message('@cold-a:test', 'one')
    await room.state('@cold-a:test', 'm.room.name', { name: 'n' })
    await world.accountData('@cold-a:test', 'org.example', { a: 1 })
    await room.join('@cold-b:test')
    await world.settle()
    const fresh = await world.process()
    await world.settle()
    const warm = await device.peek()
    const cold = await device.at(fresh).peek()
    expect(cold).toEqual(warm)
    expect(warm.rooms?.join).not.toHaveProperty(other.roomId)
    expect(fresh.observer.counts.cold).toBe(1)
    // From its answer on, the new process serves from memory.
    const moved = device.at(fresh)
    await moved.sync()
    await room.message('@cold-a:test', 'two')
    await world.settle()
    const before = world.test.db.statementCount
    expect(bodies((await moved.sync()).rooms?.join?.[room.roomId])).toEqual(['two'])
    expect(world.test.db.statementCount).toBe(before)
  })

  test('a busy room whose events left memory is read from PostgreSQL', async () => {
    const { ENGINE_LIMITS } = await import('../src/index.ts')
    const small = await world.process({ ...ENGINE_LIMITS, feed: { ...ENGINE_LIMITS.feed, events: 8, deltas: 2 } })
    const room = await world.rooms.room('@busy-a:test')
    await world.settle()
    const device = await world.device(small, '@busy-a:test')
    await device.sync()
    await room.state('@busy-a:test', 'm.room.topic', { topic: '1' })
    await room.state('@busy-a:test', 'm.room.topic', { topic: '2' })
    await room.state('@busy-a:test', 'm.room.name', { name: '1' })
    for (let i = 0; i < 30; i++) await room.message('@busy-a:test', `m${i}`)
    await world.settle()
    const answer = await device.sync({ json: { room: { timeline: { limit: 20 } } } })
    const joined = answer.rooms?.join?.[room.roomId]
    expect(bodies(joined)).toEqual(Array.from({ length: 20 }, (_, i) => `m${i + 10}`))
    expect(joined?.state.events.map((event) => event.content)).toEqual(expect.arrayContaining([{ topic: '2' }, { name: '1' }]))
    expect(joined?.state.events).toHaveLength(2)
  })

  test('full_state sends the whole state with the timeline since the token', async () => {
    const room = await world.rooms.room('@full-a:test')
    await room.message('@full-a:test', 'before')
    await world.settle()
    const device = await world.device(process, '@full-a:test')
    await device.sync()
    await room.message('@full-a:test', 'after')
    await world.settle()
    const joined = (await device.sync({ fullState: true, timeoutMs: 60_000 })).rooms?.join?.[room.roomId]
    expect(bodies(joined)).toEqual(['after'])
    expect(types(joined?.state.events)).toEqual(['m.room.create', 'm.room.member'])
  })

  test('tells only the sending device its transaction id', async () => {
    const room = await world.rooms.room('@txn-a:test')
    await room.join('@txn-b:test')
    await world.settle()
    const own = await world.device(process, '@txn-a:test', 'PHONE')
    const second = await world.device(process, '@txn-a:test', 'LAPTOP')
    const other = await world.device(process, '@txn-b:test', 'PHONE')
    for (const device of [own, second, other]) await device.sync()
    await room.message('@txn-a:test', 'hi', { transaction: { deviceId: 'PHONE', txnId: 'txn1' } })
    await world.settle()
    const unsigned = async (device: typeof own) => (await device.sync()).rooms?.join?.[room.roomId]?.timeline.events[0]?.unsigned
    expect(await unsigned(own)).toEqual({ transaction_id: 'txn1' })
    expect(await unsigned(second)).toBeUndefined()
    expect(await unsigned(other)).toBeUndefined()
    // Another process, which heard nothing of it, has it from the table.
    const late = await world.process()
    const cold = async (userId: string, deviceId: string) => {
      const { rooms } = await (await world.device(late, userId, deviceId)).sync()
      return rooms?.join?.[room.roomId]?.timeline.events.at(-1)?.unsigned
    }
    expect(await cold('@txn-a:test', 'PHONE')).toEqual({ transaction_id: 'txn1' })
    expect(await cold('@txn-a:test', 'LAPTOP')).toBeUndefined()
  })

  test('times out with a token that goes on', async () => {
    const room = await world.rooms.room('@timeout-a:test')
    await world.settle()
    const device = await world.device(process, '@timeout-a:test')
    await device.sync()
    const answer = await device.sync({ timeoutMs: 20 })
    expect(answer).toEqual({ next_batch: expect.any(String) })
    await room.message('@timeout-a:test', 'later')
    await world.settle()
    expect(bodies((await device.sync()).rooms?.join?.[room.roomId])).toEqual(['later'])
  })

  test('a draining process ends long polls early with a valid token', async () => {
    const room = await world.rooms.room('@drain-a:test')
    await world.settle()
    const device = await world.device(process, '@drain-a:test')
    await device.sync()
    const draining = new AbortController()
    const waiting = await device.wait({ signal: draining.signal })
    draining.abort()
    expect(await waiting()).toEqual({ next_batch: expect.any(String) })
    expect(process.service.waiting).toBe(0)
    await room.message('@drain-a:test', 'later')
    await world.settle()
    expect(bodies((await device.sync()).rooms?.join?.[room.roomId])).toEqual(['later'])
  })

  test('a session that ends turns its long poll into 401, and no other', async () => {
    await world.rooms.room('@session-a:test')
    await world.settle()
    const ending = await world.device(process, '@session-a:test', 'ENDING')
    const staying = await world.device(process, '@session-a:test', 'STAYING')
    await ending.sync()
    await staying.sync()
    const waiting = await ending.wait()
    const draining = new AbortController()
    const other = await staying.wait({ signal: draining.signal })
    await world.endSession(ending)
    await expect(waiting()).rejects.toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' })
    await world.settle()
    expect(process.service.waiting).toBe(1)
    draining.abort()
    await other()
  })

  test('what a filter hides does not end the wait', async () => {
    const room = await world.rooms.room('@hide-a:test')
    await world.settle()
    const device = await world.device(process, '@hide-a:test')
    const json = { room: { timeline: { not_types: ['m.room.message'] }, ephemeral: { types: [] } } }
    await device.sync({ json })
    const waiting = await device.wait({ json })
    await room.message('@hide-a:test', 'hidden')
    await world.settle()
    expect(process.service.waiting).toBe(1)
    await room.event({ type: 'org.example.shown', sender: '@hide-a:test', content: {} })
    expect(types((await waiting()).rooms?.join?.[room.roomId]?.timeline.events)).toEqual(['org.example.shown'])
  })

  test('a token that another process is ahead with waits, and is its own answer when nothing comes', async () => {
    await world.rooms.room('@ahead-a:test')
    await world.settle()
    const device = await world.device(process, '@ahead-a:test')
    const { next_batch } = await device.sync()
    const ahead = next_batch.replace(/s(\d+)/, (_, position) => `s${Number(position) + 3}`)
    const lowered = process.observer.counts.lowered
    // Nobody ever handed that out: it is lowered, and answered.
    const answer = await device.peek({ since: ahead })
    expect(process.observer.counts.lowered).toBe(lowered + 1)
    expect(answer.next_batch).toBe(next_batch)
  })

  test('a malformed token is refused', async () => {
    const device = await world.device(process, '@ahead-a:test')
    await expect(device.peek({ since: 'nonsense' })).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
  })
})

describe('redactions', () => {
  test('prune the event in memory and in PostgreSQL alike', async () => {
    const room = await world.rooms.room('@redact-a:test')
    await world.settle()
    const device = await world.device(process, '@redact-a:test')
    await device.sync()
    const { eventId } = await room.message('@redact-a:test', 'secret')
    await world.settle()
    expect(bodies((await device.peek()).rooms?.join?.[room.roomId])).toEqual(['secret'])
    await room.redact('@redact-a:test', eventId)
    await world.settle()
    const warm = await device.peek()
    const pruned = warm.rooms?.join?.[room.roomId]?.timeline.events.find((event) => event.event_id === eventId)
    expect(pruned?.content).toEqual({})
    expect(pruned?.unsigned?.redacted_because).toMatchObject({ type: 'm.room.redaction', redacts: eventId, content: { redacts: eventId } })
    const fresh = await world.process()
    await world.settle()
    expect(await device.at(fresh).peek()).toEqual(warm)
  })
})

describe('many readers', () => {
  test('one event wakes all of a room and nobody else', async () => {
    const room = await world.rooms.room('@crowd:test')
    const users = Array.from({ length: 20 }, (_, i) => `@crowd${i}:test`)
    await room.join(...users)
    const elsewhere = await world.rooms.room('@elsewhere:test')
    await world.settle()
    const devices = await Promise.all(users.map((user) => world.device(process, user)))
    const outsider = await world.device(process, '@elsewhere:test')
    await Promise.all([...devices, outsider].map((device) => device.sync()))
    const waiting = []
    for (const device of devices) waiting.push(await device.wait())
    const outside = await outsider.wait()
    const woken = process.observer.counts.woken
    await room.message('@crowd:test', 'hello all')
    const answers = await Promise.all(waiting.map((answer) => answer()))
    for (const answer of answers) expect(bodies(answer.rooms?.join?.[room.roomId])).toEqual(['hello all'])
    await turn()
    expect(process.observer.counts.woken - woken).toBe(users.length)
    await elsewhere.message('@elsewhere:test', 'x')
    await outside()
  })
})
