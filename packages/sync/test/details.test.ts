import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { predefinedPushRules } from '@weft/matrix'
import { ENGINE_LIMITS } from '../src/engine.ts'
import { bodies, type RoomAnswer, type SyncProcess, types, World, WRITTEN_TS } from './support.ts'

let world: World
let process: SyncProcess

beforeAll(async () => {
  world = await World.create()
  process = await world.process()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

const LAZY = { room: { state: { lazy_load_members: true }, timeline: { limit: 5 } } }
const members = (room: RoomAnswer | undefined) =>
  (room?.state.events ?? []).filter((event) => event.type === 'm.room.member').map((event) => event.state_key)

describe('lazy-loading', () => {
  test('sends also those whom the room forgets while it reads others', async () => {
    const small = await world.process({ ...ENGINE_LIMITS, feed: { ...ENGINE_LIMITS.feed, members: 1 } })
    const room = await world.rooms.room('@lazyfew-a:test')
    await room.join('@lazyfew-b:test', '@lazyfew-c:test')
    await world.settle()
    const device = await world.device(small, '@lazyfew-a:test')
    const json = { room: { state: { lazy_load_members: true, include_redundant_members: true } } }
    await device.sync({ json })
    for (const senders of [['@lazyfew-b:test'], ['@lazyfew-b:test', '@lazyfew-c:test']]) {
      for (const sender of senders) await room.message(sender, 'x')
      await world.settle()
      expect(members((await device.sync({ json })).rooms?.join?.[room.roomId])).toEqual(senders)
    }
  })

  test('sends the members that the timeline needs, and no redundant ones', async () => {
    const a = '@lazy-a:test'
    const room = await world.rooms.room(a)
    await room.join('@lazy-b:test', '@lazy-c:test', '@lazy-d:test', '@lazy-e:test', '@lazy-f:test', '@lazy-g:test', '@lazy-h:test')
    for (let i = 0; i < 6; i++) await room.message('@lazy-h:test', `m${i}`)
    await world.settle()
    const device = await world.device(process, a)
    const initial = (await device.sync({ json: LAZY })).rooms?.join?.[room.roomId]
    const heroes = ['@lazy-b:test', '@lazy-c:test', '@lazy-d:test', '@lazy-e:test', '@lazy-f:test']
    expect(initial?.summary?.['m.heroes']).toEqual(heroes)
    expect(members(initial)?.sort()).toEqual([a, ...heroes, '@lazy-h:test'])
    expect(types(initial?.state.events).filter((type) => type !== 'm.room.member')).toEqual(['m.room.create'])

    // Known already: nothing; not known: once, and again only if the answer was lost.
    await room.message('@lazy-h:test', 'x')
    await room.message('@lazy-g:test', 'x')
    await world.settle()
    const lost = await device.peek({ json: LAZY })
    expect(members(lost.rooms?.join?.[room.roomId])).toEqual(['@lazy-g:test'])
    expect(members((await device.sync({ json: LAZY })).rooms?.join?.[room.roomId])).toEqual(['@lazy-g:test'])
    await room.message('@lazy-g:test', 'y')
    await world.settle()
    const before = world.test.db.statementCount
    expect(members((await device.sync({ json: LAZY })).rooms?.join?.[room.roomId])).toEqual([])
    expect(world.test.db.statementCount).toBe(before)
    // A changed profile comes with the timeline and is known from then on.
    await room.member('@lazy-g:test', 'join', { content: { displayname: 'G' } })
    await room.message('@lazy-g:test', 'z')
    await world.settle()
    const changed = (await device.sync({ json: LAZY })).rooms?.join?.[room.roomId]
    expect(types(changed?.timeline.events)).toEqual(['m.room.member', 'm.room.message'])
    await room.message('@lazy-g:test', 'z')
    await world.settle()
    expect(members((await device.sync({ json: LAZY })).rooms?.join?.[room.roomId])).toEqual([])
    const redundant = { room: { state: { lazy_load_members: true, include_redundant_members: true } } }
    await room.message('@lazy-g:test', 'z')
    await world.settle()
    expect(members((await device.sync({ json: redundant })).rooms?.join?.[room.roomId])).toEqual(['@lazy-g:test'])
  })

  test('a member event is read once for all who are woken', async () => {
    const room = await world.rooms.room('@lazyone-a:test')
    const users = Array.from({ length: 10 }, (_, i) => `@lazyone${i}:test`)
    await room.join(...users, '@lazyone-z:test')
    for (let i = 0; i < 6; i++) await room.message('@lazyone-a:test', 'x')
    await world.settle()
    const devices = await Promise.all(users.map((user) => world.device(process, user)))
    for (const device of devices) await device.sync({ json: LAZY })
    await room.message('@lazyone-z:test', 'first')
    await world.settle()
    const before = world.test.db.statementCount
    for (const device of devices) {
      expect(members((await device.peek({ json: LAZY })).rooms?.join?.[room.roomId])).toEqual(['@lazyone-z:test'])
    }
    expect(world.test.db.statementCount - before).toBeLessThanOrEqual(4)
  })

  test('a gap sends the members who changed in it', async () => {
    const a = '@lazygap-a:test'
    const room = await world.rooms.room(a)
    await room.join('@lazygap-b:test')
    await world.settle()
    const device = await world.device(process, a)
    await device.sync({ json: LAZY })
    await room.member('@lazygap-b:test', 'join', { content: { displayname: 'B' } })
    for (let i = 0; i < 8; i++) await room.message(a, 'x')
    await world.settle()
    const answer = (await device.sync({ json: LAZY })).rooms?.join?.[room.roomId]
    expect(answer?.timeline.limited).toBe(true)
    expect(members(answer)).toContain('@lazygap-b:test')
  })
})

describe('filters', () => {
  test('by id, inline, by room, by sender, by type, by url', async () => {
    const a = '@filter-a:test'
    const room = await world.rooms.room(a)
    const other = await world.rooms.room(a)
    await room.join('@filter-b:test')
    await room.message(a, 'from a')
    await room.message('@filter-b:test', 'from b')
    await room.event({ type: 'm.room.message', sender: a, content: { body: 'picture', url: 'mxc://x/y' } })
    await other.message(a, 'elsewhere')
    await world.settle()
    const device = await world.device(process, a)
    const shown = async (filter: string) => (await device.peek({ filter })).rooms?.join ?? {}
    const id = await world.filter(a, 0, { room: { rooms: [room.roomId], timeline: { types: ['m.room.mess*'], senders: [a] } } })
    expect(Object.keys(await shown(id))).toEqual([room.roomId])
    expect(bodies((await shown(id))[room.roomId])).toEqual(['from a', 'picture'])
    const inline = async (filter: object) => (await shown(JSON.stringify(filter)))[room.roomId]
    expect(bodies(await inline({ room: { timeline: { contains_url: true } } }))).toEqual(['picture'])
    expect(bodies(await inline({ room: { timeline: { not_senders: [a], types: ['m.room.message'] } } }))).toEqual(['from b'])
    const others = { not_senders: [a, '\0'], types: ['m.room.message', '\0'], not_types: ['\0'] }
    expect(bodies(await inline({ room: { timeline: others } }))).toEqual(['from b'])
    expect(bodies(await inline({ room: { timeline: { senders: ['\0'] } } }))).toEqual([])
    // Names and patterns side by side, in both lists.
    const timelineTypes = async (timeline: object) => types((await inline({ room: { timeline } }))?.timeline.events)
    expect(await timelineTypes({ types: ['m.room.create', 'm.room.mem*'] })).toEqual(['m.room.create', 'm.room.member', 'm.room.member'])
    expect(await timelineTypes({ types: ['m.room.*'], not_types: ['m.room.message', '*member'] })).toEqual(['m.room.create'])
    expect(await timelineTypes({ types: ['m.room.mem_er', 'm%', 'm.room.creat_*'] })).toEqual([])
    const few = await inline({ room: { timeline: { types: ['m.room.message'], limit: 1 }, state: { types: ['m.room.create'] } } })
    expect(bodies(few)).toEqual(['picture'])
    expect(few?.timeline.limited).toBe(true)
    expect(types(few?.state.events)).toEqual(['m.room.create'])
    const none = await inline({ room: { timeline: { limit: 0 } } })
    expect(none?.timeline).toMatchObject({ events: [], limited: true })
    expect(await inline({ room: { not_rooms: [room.roomId] } })).toBeUndefined()
    await expect(device.peek({ filter: '77' })).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await expect(device.peek({ filter: '{' })).rejects.toMatchObject({ errcode: 'M_NOT_JSON' })
    await expect(device.peek({ filter: '{"room":1}' })).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
  })

  test('events that were sent a while ago say how long, and new ones say nothing, as a client takes them for new then', async () => {
    const room = await world.rooms.room('@age-a:test')
    const pinned = await room.state('@age-a:test', 'm.room.topic', { topic: 'one' })
    const old = { originServerTs: WRITTEN_TS - 60_000 }
    await room.message('@age-a:test', 'old', old)
    await room.event({ type: 'm.room.topic', sender: '@age-a:test', stateKey: '', content: { topic: 'two' }, ...old })
    await room.message('@age-a:test', 'late', { originServerTs: WRITTEN_TS + 60_000 })
    await world.settle()
    const unsigned = async (from: SyncProcess, json: object) => {
      const answer = await (await world.device(from, '@age-a:test')).peek({ json })
      return answer.rooms?.join?.[room.roomId]?.timeline.events.slice(-3).map((event) => event.unsigned)
    }
    const prev = { prev_content: { topic: 'one' }, replaces_state: pinned.eventId }
    for (const from of [process, await world.fresh()]) {
      expect(await unsigned(from, {})).toEqual([{ age: 60_000 }, { ...prev, age: 60_000 }, undefined])
      expect(await unsigned(from, { event_fields: ['unsigned.age'] })).toEqual([{ age: 60_000 }, { age: 60_000 }, undefined])
    }
  })

  test('event_fields and event_format', async () => {
    const a = '@fields-a:test'
    const room = await world.rooms.room(a)
    await room.message(a, 'x')
    await world.settle()
    const device = await world.device(process, a)
    const few = await device.peek({ json: { event_fields: ['content.body', 'type'] } })
    expect(few.rooms?.join?.[room.roomId]?.timeline.events.at(-1)).toEqual({ content: { body: 'x' }, type: 'm.room.message' })
    const raw = await device.peek({ json: { event_format: 'federation' } })
    expect(raw.rooms?.join?.[room.roomId]?.timeline.events.at(-1)).toMatchObject({
      room_id: room.roomId,
      hashes: { sha256: 'x' },
      prev_events: [],
      content: { body: 'x' },
    })
  })
})

describe('ephemeral events', () => {
  test('private receipts go to their owner only; threads come apart; typing starts and ends', async () => {
    const [a, b] = ['@eph-a:test', '@eph-b:test']
    const room = await world.rooms.room(a)
    await room.join(b)
    const first = await room.message(a, 'x')
    await world.settle()
    const own = await world.device(process, b)
    const other = await world.device(process, a)
    await own.sync()
    await other.sync()
    const waiting = await other.wait()
    await world.receipt(room, b, first.eventId, { type: 'm.read.private' })
    await world.settle()
    expect(process.service.waiting).toBe(1)
    await world.receipt(room, b, first.eventId, { threadId: 'main' })
    const others = (await waiting()).rooms?.join?.[room.roomId]?.ephemeral.events
    expect(others).toEqual([{ type: 'm.receipt', content: { [first.eventId]: { 'm.read': { [b]: { ts: 5, thread_id: 'main' } } } } }])
    const warm = await own.peek()
    expect(warm.rooms?.join?.[room.roomId]?.ephemeral.events).toEqual([
      { type: 'm.receipt', content: { [first.eventId]: { 'm.read.private': { [b]: { ts: 5 } } } } },
      { type: 'm.receipt', content: { [first.eventId]: { 'm.read': { [b]: { ts: 5, thread_id: 'main' } } } } },
    ])
    expect((await own.at(await world.fresh()).peek()).rooms?.join?.[room.roomId]?.ephemeral).toEqual(
      warm.rooms?.join?.[room.roomId]?.ephemeral,
    )
    world.typing(room, a, b)
    await world.settle()
    const typing = (await own.sync()).rooms?.join?.[room.roomId]?.ephemeral.events.find((event) => event.type === 'm.typing')
    expect(typing?.content).toEqual({ user_ids: [a, b] })
    world.typing(room)
    await world.settle()
    expect((await own.sync()).rooms?.join?.[room.roomId]?.ephemeral.events).toEqual([{ type: 'm.typing', content: { user_ids: [] } }])
    // Who starts anew is not told that nobody types.
    const initial = await (await world.device(process, a, 'NEW')).sync()
    expect(types(initial.rooms?.join?.[room.roomId]?.ephemeral.events)).toEqual(['m.receipt'])
  })
})

describe('account data', () => {
  test('global and of rooms, changed and deleted', async () => {
    const a = '@data-a:test'
    const room = await world.rooms.room(a)
    await world.accountData(a, 'org.one', { v: 1 })
    await world.accountData(a, 'm.tag', { tags: { u: {} } }, room)
    await world.settle()
    const device = await world.device(process, a)
    const initial = await device.sync()
    const rules = { type: 'm.push_rules', content: JSON.parse(JSON.stringify({ global: predefinedPushRules(a) })) }
    expect(initial.account_data?.events).toEqual([{ type: 'org.one', content: { v: 1 } }, rules])
    expect(initial.rooms?.join?.[room.roomId]?.account_data.events).toEqual([{ type: 'm.tag', content: { tags: { u: {} } } }])
    await world.accountData(a, 'org.one', undefined)
    await world.accountData(a, 'm.fully_read', { event_id: '$x' }, room)
    await world.settle()
    const warm = await device.peek()
    expect(warm.account_data?.events).toEqual([{ type: 'org.one', content: {} }])
    expect(warm.rooms?.join?.[room.roomId]?.account_data.events).toEqual([{ type: 'm.fully_read', content: { event_id: '$x' } }])
    expect(await device.at(await world.fresh()).peek()).toEqual(warm)
    const filtered = await device.peek({ json: { account_data: { not_types: ['org.*'] }, room: { account_data: { types: [] } } } })
    expect(filtered.account_data).toBeUndefined()
    expect(filtered.rooms).toBeUndefined()
    const anew = () => world.fresh().then((at) => world.device(at, a))
    expect((await (await anew()).sync()).account_data?.events).toEqual([rules])
    expect((await (await anew()).sync({ json: { account_data: { not_types: ['m.push_*'] } } })).account_data).toBeUndefined()
  })
})

describe('to-device messages', () => {
  const received = (answer: { to_device?: { events: { content: Record<string, unknown> }[] } }) =>
    (answer.to_device?.events ?? []).map((event) => event.content.body)
  const left = async (userId: string) =>
    (
      await world.test.db.query<{ device_id: string }>(
        { name: 'test.inbox', text: 'SELECT device_id FROM device_inbox WHERE user_id = $1' },
        [userId],
      )
    ).map((row) => row.device_id)

  test('come to their device, again when the answer was lost, and are deleted once acknowledged', async () => {
    const a = '@inbox-a:test'
    await world.settle()
    const one = await world.device(process, a, 'ONE')
    const two = await world.device(process, a, 'TWO')
    await one.sync()
    await two.sync()
    const waiting = await one.wait()
    await world.toDevice(a, 'ONE', 'x')
    await world.toDevice(a, 'TWO', 'y')
    expect(received(await waiting())).toEqual(['x'])
    await world.settle()
    expect(received(await two.peek())).toEqual(['y'])
    expect(received(await two.peek())).toEqual(['y'])
    expect(await left(a)).toHaveLength(2)
    // The first device shows that it has its message: that one goes, the other's stays.
    expect(received(await one.sync())).toEqual([])
    expect(await left(a)).toEqual(['TWO'])
    const other = await world.fresh()
    expect(received(await two.at(other).sync())).toEqual(['y'])
  })

  test('a long inbox comes in pages, of which none is lost', async () => {
    const a = '@pages-a:test'
    const all = Array.from({ length: 250 }, (_, i) => `m${i}`)
    await world.toDevice(a, 'DEV', ...all)
    await world.settle()
    const device = await world.device(process, a)
    const first = received(await device.sync())
    expect(first).toEqual(all.slice(0, 100))
    expect(received(await device.peek({ timeoutMs: 60_000 }))).toEqual(all.slice(100, 200))
    expect(received(await device.sync({ timeoutMs: 60_000 }))).toEqual(all.slice(100, 200))
    expect(received(await device.sync({ timeoutMs: 60_000 }))).toEqual(all.slice(200))
    expect(received(await device.sync())).toEqual([])
    expect(await left(a)).toEqual([])
    // Nothing to read and nothing to delete: no statement any more.
    const before = world.test.db.statementCount
    await device.sync()
    expect(world.test.db.statementCount).toBe(before)
  })
})

describe('memory', () => {
  test('a view that nobody uses goes, and comes back with nothing missed', async () => {
    const a = '@idle-a:test'
    const room = await world.rooms.room(a)
    await world.settle()
    const at = await world.fresh()
    const device = await world.device(at, a)
    await device.sync()
    await room.message(a, 'one')
    await world.settle()
    at.engine.sweep(Number.MAX_SAFE_INTEGER)
    expect(at.engine.views.size).toBe(0)
    at.engine.sweep(Number.MAX_SAFE_INTEGER - 1)
    await room.message(a, 'two')
    await world.settle()
    expect(bodies((await device.sync()).rooms?.join?.[room.roomId])).toEqual(['one', 'two'])
  })

  test('a view that waits stays whatever the budget', async () => {
    const a = '@busyview-a:test'
    const room = await world.rooms.room(a)
    await world.settle()
    const at = await world.fresh()
    const device = await world.device(at, a)
    await device.sync()
    const waiting = await device.wait()
    at.engine.sweep(Number.MAX_SAFE_INTEGER)
    expect(at.engine.views.has(a)).toBe(true)
    await room.message(a, 'one')
    expect(bodies((await waiting()).rooms?.join?.[room.roomId])).toEqual(['one'])
  })

  test('what happens while a view is loaded is in it', async () => {
    const a = '@race-a:test'
    const b = '@race-b:test'
    const rooms = []
    for (let i = 0; i < 10; i++) rooms.push(await world.rooms.room(a))
    const at = await world.fresh()
    const device = await world.device(at, b)
    const first = device.sync()
    for (const room of rooms) await room.join(b)
    await first
    for (const room of rooms) await room.message(a, `in ${room.roomId}`)
    await world.settle()
    const seen = new Set<unknown>()
    for (const answer of [await first, await device.sync()]) {
      for (const room of Object.values(answer.rooms?.join ?? {})) for (const body of bodies(room)) if (body !== undefined) seen.add(body)
    }
    expect([...seen].sort()).toEqual(rooms.map((room) => `in ${room.roomId}`).sort())
  })

  test('an event too large to travel is read from PostgreSQL, once for all', async () => {
    const a = '@large-a:test'
    const room = await world.rooms.room(a)
    await room.join('@large-b:test')
    await world.settle()
    const one = await world.device(process, a)
    const two = await world.device(process, '@large-b:test')
    await one.sync()
    await two.sync()
    const body = 'x'.repeat(10_000)
    await room.message(a, body)
    await world.settle()
    const before = world.test.db.statementCount
    const answers = await Promise.all([one.sync(), two.sync()])
    for (const answer of answers) expect(bodies(answer.rooms?.join?.[room.roomId])).toEqual([body])
    expect(world.test.db.statementCount - before).toBe(1)
  })
})
