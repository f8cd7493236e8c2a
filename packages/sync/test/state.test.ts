import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { bodies, name, type RoomAnswer, type SyncProcess, types, visibility, World } from './support.ts'

let world: World
let process: SyncProcess

beforeAll(async () => {
  world = await World.create()
  process = await world.process()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

/** The name of a room for a client that keeps state as the specification says: `state`, and the timeline on top. */
function nameOf(joined: RoomAnswer | undefined): unknown {
  const events = [...(joined?.state.events ?? []), ...(joined?.timeline.events ?? [])]
  return events.findLast((event) => event.type === 'm.room.name')?.content
}

describe('state that the timeline does not show', () => {
  const b = '@overruled-b:test'
  const rejoined = async () => {
    const a = '@overruled-a:test'
    const room = await world.rooms.room(a, { state: [visibility(a, 'joined')] })
    await room.join(b)
    await world.settle()
    const device = await world.device(process, b)
    await device.sync()
    await room.event(name(a, 'one'))
    return { a, room, device }
  }

  test('wins over what the timeline shows, when it was set while the reader was away', async () => {
    const { a, room, device } = await rejoined()
    await room.member(b, 'leave')
    await room.event(name(a, 'two'))
    await room.join(b)
    await room.message(a, 'welcome back')
    await world.settle()
    const initial = await world.device(process, b)
    for (const answer of [await device.peek(), await device.at(await world.fresh()).peek(), await initial.sync()]) {
      const joined = answer.rooms?.join?.[room.roomId]
      expect(nameOf(joined)).toEqual({ name: 'two' })
      expect(joined?.timeline.limited).toBe(true)
      expect(bodies(joined).filter((body) => body !== undefined)).toEqual(['welcome back'])
    }
    // Who is told the state at the end loses nothing.
    const after = (await device.peek({ useStateAfter: true })).rooms?.join?.[room.roomId]
    expect(types(after?.timeline.events)).toContain('m.room.name')
  })

  test('wins when the filter takes it away', async () => {
    const { a, room, device } = await rejoined()
    const json = { room: { timeline: { contains_url: true } } }
    await room.event({ type: 'm.room.name', stateKey: '', sender: a, content: { name: 'two', url: 'mxc://a/b' } })
    await room.event(name(a, 'three'))
    await room.event({ type: 'm.room.message', sender: a, content: { body: 'shown', url: 'mxc://a/b' } })
    await world.settle()
    const joined = (await device.peek({ json })).rooms?.join?.[room.roomId]
    expect(nameOf(joined)).toEqual({ name: 'three' })
    expect(bodies(joined)).toEqual(['shown'])
  })
})

describe('state without a timeline', () => {
  test('R12 rejected and soft-failed events are in no timeline; a soft-failed one that becomes state is in the state', async () => {
    const a = '@r12-a:test'
    const room = await world.rooms.room(a, { state: [name(a, 'old')] })
    await world.settle()
    const device = await world.device(process, a)
    await device.sync()
    await room.message(a, 'rejected', { rejected: 'not allowed' })
    await room.event({ ...name(a, 'rejected'), rejected: 'not allowed' })
    await room.message(a, 'soft-failed', { softFailed: true })
    await room.event({ ...name(a, 'new'), softFailed: true, becomesState: true })
    await room.message(a, 'shown')
    await world.settle()
    for (const at of [process, await world.fresh()]) {
      const joined = (await device.at(at).peek()).rooms?.join?.[room.roomId]
      expect(bodies(joined)).toEqual(['shown'])
      expect(joined?.state.events.map((event) => event.content)).toEqual([{ name: 'new' }])
    }
    const initial = await (await world.device(process, a)).sync()
    const whole = initial.rooms?.join?.[room.roomId]
    expect(bodies(whole).filter((body) => body !== undefined)).toEqual(['shown'])
    expect(JSON.stringify(initial)).not.toContain('rejected')
  })

  test('state that state resolution took away leaves the state of later answers', async () => {
    const a = '@reset-a:test'
    const room = await world.rooms.room(a, { state: [name(a, 'n')] })
    await room.dropState('m.room.name', '')
    await world.settle()
    const answer = await (await world.device(await world.fresh(), a)).sync({ useStateAfter: true })
    expect(types(answer.rooms?.join?.[room.roomId]?.state_after?.events)).toEqual(['m.room.create', 'm.room.member'])
  })

  test('a member whom state resolution threw out is told', async () => {
    const room = await world.rooms.room('@thrown-a:test')
    await room.join('@thrown-b:test')
    await world.settle()
    const device = await world.device(process, '@thrown-b:test')
    await device.sync()
    await room.dropState('m.room.member', '@thrown-b:test')
    await room.message('@thrown-a:test', 'unseen')
    await world.settle()
    const answer = await device.sync()
    expect(answer.rooms?.leave?.[room.roomId]).toBeDefined()
    expect(JSON.stringify(answer)).not.toContain('unseen')
  })
})

test('R30 type confusion in state and account data does not break a sync', async () => {
  const a = '@r30-a:test'
  const room = await world.rooms.room(a, {
    state: [
      { type: 'm.room.name', sender: a, stateKey: '', content: { name: 1 } },
      { type: 'm.room.avatar', sender: a, stateKey: '', content: { url: {} } },
      { type: 'm.room.power_levels', sender: a, stateKey: '', content: { users: [], notifications: { room: null } } },
      { type: 'm.room.history_visibility', sender: a, stateKey: '', content: { history_visibility: ['joined'] } },
      { type: 'm.room.canonical_alias', sender: a, stateKey: '', content: { alias: { a: 1 } } },
      { type: 'constructor', sender: a, stateKey: '__proto__', content: {} },
      { type: 'a\u0000b', sender: a, stateKey: '\u0000', content: { text: '\\u0000' } },
    ],
  })
  await room.member('@r30-b:test', 'join', { content: { displayname: 'a\u0000b', avatar_url: {} } })
  await room.member('@r30-c:test', 'invite', { sender: a })
  await world.accountData('@r30-b:test', 'm.direct', ['not an object'])
  await world.accountData('@r30-b:test', 'm.ignored_user_list', { ignored_users: 'everybody' })
  await world.settle()
  const json = { room: { state: { lazy_load_members: true } } }
  const answer = await (await world.device(await world.fresh(), '@r30-b:test')).sync({ json })
  const joined = answer.rooms?.join?.[room.roomId]
  expect(types([...(joined?.state.events ?? []), ...(joined?.timeline.events ?? [])])).toEqual(
    expect.arrayContaining(['a\u0000b', 'constructor', 'm.room.name']),
  )
  expect(types(answer.account_data?.events)).toEqual(['m.direct', 'm.ignored_user_list', 'm.push_rules'])
  const invited = await (await world.device(process, '@r30-c:test')).sync()
  expect(invited.rooms?.invite?.[room.roomId]?.invite_state.events.find((event) => event.type === 'm.room.name')?.content).toEqual({
    name: 1,
  })
})
