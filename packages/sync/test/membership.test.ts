import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { bodies, ids, name, type SyncProcess, types, visibility, World } from './support.ts'

let world: World
let process: SyncProcess

beforeAll(async () => {
  world = await World.create()
  process = await world.process()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

describe('joining', () => {
  test('a room that was joined since comes with its whole state, receipts and account data', async () => {
    const room = await world.rooms.room('@join-a:test', { state: [name('@join-a:test', 'n')] })
    const { eventId } = await room.message('@join-a:test', 'before')
    await world.receipt(room, '@join-a:test', eventId)
    await world.accountData('@join-b:test', 'm.tag', { tags: {} }, room)
    await world.settle()
    const device = await world.device(process, '@join-b:test')
    await device.sync()
    const waiting = await device.wait()
    await room.join('@join-b:test')
    const joined = (await waiting()).rooms?.join?.[room.roomId]
    expect(bodies(joined)).toContain('before')
    expect(joined?.timeline.limited).toBe(true)
    expect(types([...(joined?.state.events ?? []), ...(joined?.timeline.events ?? [])])).toEqual(
      expect.arrayContaining(['m.room.create', 'm.room.member', 'm.room.name']),
    )
    expect(types(joined?.ephemeral.events)).toEqual(['m.receipt'])
    expect(types(joined?.account_data.events)).toEqual(['m.tag'])
    expect(joined?.summary).toEqual({ 'm.heroes': ['@join-a:test'], 'm.joined_member_count': 2, 'm.invited_member_count': 0 })
  })

  test('leaving and joining again in between starts the room anew', async () => {
    const room = await world.rooms.room('@again-a:test', { state: [name('@again-a:test', 'n')] })
    await room.join('@again-b:test')
    await world.settle()
    const device = await world.device(process, '@again-b:test')
    await device.sync()
    await room.member('@again-b:test', 'leave')
    await room.join('@again-b:test')
    await room.message('@again-a:test', 'x')
    await world.settle()
    const warm = await device.peek({ json: { room: { timeline: { limit: 1 } } } })
    const joined = warm.rooms?.join?.[room.roomId]
    expect(types(joined?.state.events)).toContain('m.room.create')
    expect(joined?.timeline.limited).toBe(true)
    expect(await device.at(await world.fresh()).peek({ json: { room: { timeline: { limit: 1 } } } })).toEqual(warm)
  })

  test('a changed profile is no new room', async () => {
    const room = await world.rooms.room('@profile-a:test')
    await world.settle()
    const device = await world.device(process, '@profile-a:test')
    await device.sync()
    await room.member('@profile-a:test', 'join', { content: { displayname: 'A' } })
    await world.settle()
    const joined = (await device.sync()).rooms?.join?.[room.roomId]
    expect(joined?.timeline).toMatchObject({ limited: false, events: [{ type: 'm.room.member' }] })
    expect(joined?.state.events).toEqual([])
  })
})

describe('history visibility', () => {
  const see = async (value: string, invited: boolean) => {
    const a = `@vis-${value}-${invited}-a:test`
    const b = `@vis-${value}-${invited}-b:test`
    const room = await world.rooms.room(a, { state: [visibility(a, value)] })
    await room.message(a, 'early')
    if (invited) await room.member(b, 'invite', { sender: a })
    await room.message(a, 'after the invite')
    await room.join(b)
    await room.message(a, 'after the join')
    await world.settle()
    const answer = await (await world.device(await world.fresh(), b)).sync({ json: { room: { timeline: { limit: 50 } } } })
    return bodies(answer.rooms?.join?.[room.roomId]).filter((body) => body !== undefined)
  }
  test('shared shows what was before the join', async () => {
    expect(await see('shared', true)).toEqual(['early', 'after the invite', 'after the join'])
  })
  test('invited shows from the invite on', async () => {
    expect(await see('invited', true)).toEqual(['after the invite', 'after the join'])
  })
  test('joined shows from the join on', async () => {
    expect(await see('joined', true)).toEqual(['after the join'])
    expect(await see('joined', false)).toEqual(['after the join'])
  })
  test('world_readable shows everything', async () => {
    expect(await see('world_readable', false)).toEqual(['early', 'after the invite', 'after the join'])
  })

  test('is asked in memory too, when a waiting user joins', async () => {
    const room = await world.rooms.room('@visw-a:test', { state: [visibility('@visw-a:test', 'joined')] })
    await room.message('@visw-a:test', 'hidden')
    await world.settle()
    const device = await world.device(process, '@visw-b:test')
    await device.sync()
    const waiting = await device.wait()
    await room.join('@visw-b:test')
    const joined = (await waiting()).rooms?.join?.[room.roomId]
    // What came before the visibility was set was shared still.
    expect(types(joined?.timeline.events)).toEqual(['m.room.create', 'm.room.history_visibility', 'm.room.member', 'm.room.member'])
    expect(bodies(joined)).not.toContain('hidden')
  })
})

describe('leaving', () => {
  test.each(['leave', 'ban'])('R29 after %s: events up to it, and no later state', async (membership) => {
    const a = `@r29-${membership}-a:test`
    const b = `@r29-${membership}-b:test`
    const room = await world.rooms.room(a, { state: [name(a, 'before')] })
    await room.join(b)
    await world.settle()
    const device = await world.device(process, b)
    await device.sync()
    await room.message(a, 'seen')
    await room.state(a, 'm.room.topic', { topic: 'seen' })
    const out = await room.member(b, membership, { sender: a })
    await room.message(a, 'unseen')
    await room.state(a, 'm.room.name', { name: 'unseen' })
    await world.settle()
    const processes = [process, await world.fresh()]
    for (const at of processes) {
      for (const useStateAfter of [false, true]) {
        const answer = await device.at(at).peek({ useStateAfter })
        const left = answer.rooms?.leave?.[room.roomId]
        expect(answer.rooms?.join?.[room.roomId]).toBeUndefined()
        expect(left?.timeline.events.at(-1)?.event_id).toBe(out.eventId)
        expect(JSON.stringify(answer)).not.toContain('unseen')
        expect(bodies(left)).toContain('seen')
        if (useStateAfter) expect(types(left?.state_after?.events)).toEqual(['m.room.member', 'm.room.topic'])
      }
    }
    // Later syncs say nothing of the room, whatever happens in it.
    await device.sync()
    await room.message(a, 'unseen')
    await world.settle()
    expect((await device.sync()).rooms).toBeUndefined()
  })

  test('R29 include_leave shows left rooms as they were, forgotten ones never', async () => {
    const room = await world.rooms.room('@left-a:test', { state: [name('@left-a:test', 'before')] })
    await room.join('@left-b:test')
    await room.message('@left-a:test', 'seen')
    await room.member('@left-b:test', 'leave')
    await room.message('@left-a:test', 'unseen')
    await room.state('@left-a:test', 'm.room.name', { name: 'after' })
    // A ban after the leave is no way back in.
    await room.member('@left-b:test', 'ban', { sender: '@left-a:test' })
    await world.settle()
    const device = await world.device(await world.fresh(), '@left-b:test')
    expect((await device.peek()).rooms).toBeUndefined()
    const json = { room: { include_leave: true, timeline: { limit: 3 } } }
    const left = (await device.peek({ json })).rooms?.leave?.[room.roomId]
    expect(bodies(left)).toContain('seen')
    expect(JSON.stringify(left)).not.toMatch(/unseen|after|ban/)
    expect(left?.state.events.find((event) => event.type === 'm.room.name')?.content).toEqual({ name: 'before' })
    await world.forget(room, '@left-b:test')
    expect((await (await world.device(await world.fresh(), '@left-b:test')).peek({ json })).rooms).toBeUndefined()
  })

  test('R26 member events padded to any length are read once, and judged as short ones', async () => {
    const room = await world.rooms.room('@long-a:test')
    await world.settle()
    const before = await (await world.device(process, '@long-b:test')).sync()
    const padded = (membership: string) => room.member('@long-b:test', membership, { content: { padding: 'x'.repeat(3000) } })
    for (let n = 0; n < 60; n++) await padded('join')
    await room.message('@long-a:test', 'seen')
    await padded('leave')
    await room.message('@long-a:test', 'unseen')
    await world.settle()
    const longRead = () => world.test.db.statementCounts.get('events.longTexts') ?? 0
    const device = await world.device(await world.fresh(), '@long-b:test')
    const reads = longRead()
    const json = { room: { include_leave: true, timeline: { limit: 3 } } }
    for (const asked of [{ json }, { since: before.next_batch }]) {
      const left = (await device.peek(asked)).rooms?.leave?.[room.roomId]
      expect(bodies(left)).toContain('seen')
      expect(JSON.stringify(left)).not.toContain('unseen')
    }
    expect(longRead()).toBe(reads + 2)
  })

  test('joining and leaving between two syncs shows the time in the room', async () => {
    const room = await world.rooms.room('@brief-a:test', { state: [visibility('@brief-a:test', 'joined')] })
    await world.settle()
    const device = await world.device(process, '@brief-b:test')
    await device.sync()
    await room.message('@brief-a:test', 'too early')
    await room.join('@brief-b:test')
    await room.message('@brief-a:test', 'seen')
    await room.member('@brief-b:test', 'leave')
    await room.message('@brief-a:test', 'too late')
    await world.settle()
    for (const at of [process, await world.fresh()]) {
      const left = (await device.at(at).peek()).rooms?.leave?.[room.roomId]
      expect(bodies(left).filter((body) => body !== undefined)).toEqual(['seen'])
    }
  })
})

describe('invites and knocks', () => {
  test('an invite comes with stripped state, once, and accepting it makes the room', async () => {
    const a = '@invite-a:test'
    const room = await world.rooms.room(a, {
      state: [name(a, 'n'), { type: 'org.example', sender: a, stateKey: '', content: { secret: 1 } }],
    })
    await world.settle()
    const device = await world.device(process, '@invite-b:test')
    await device.sync()
    const waiting = await device.wait()
    await room.member('@invite-b:test', 'invite', { sender: a })
    const answer = await waiting()
    const events = answer.rooms?.invite?.[room.roomId]?.invite_state.events
    expect(types(events)).toEqual(['m.room.create', 'm.room.member', 'm.room.member', 'm.room.name'])
    for (const event of events ?? []) expect(Object.keys(event).sort()).toEqual(['content', 'sender', 'state_key', 'type'])
    expect((await device.sync()).rooms).toBeUndefined()
    await room.message(a, 'unseen')
    await world.settle()
    expect((await device.sync()).rooms).toBeUndefined()
    const initial = await (await world.device(await world.fresh(), '@invite-b:test')).sync()
    expect(types(initial.rooms?.invite?.[room.roomId]?.invite_state.events)).toEqual(types(events))
    await room.join('@invite-b:test')
    await world.settle()
    expect((await device.sync()).rooms?.join?.[room.roomId]).toBeDefined()
  })

  test('refusing an invite, or its withdrawal, shows that event and nothing else', async () => {
    const room = await world.rooms.room('@refuse-a:test', { state: [visibility('@refuse-a:test', 'invited')] })
    await room.member('@refuse-b:test', 'invite', { sender: '@refuse-a:test' })
    await world.settle()
    const device = await world.device(process, '@refuse-b:test')
    await device.sync()
    await room.message('@refuse-a:test', 'unseen')
    const refused = await room.member('@refuse-b:test', 'leave')
    await world.settle()
    for (const at of [process, await world.fresh()]) {
      const left = (await device.at(at).peek()).rooms?.leave?.[room.roomId]
      expect(ids(left?.timeline.events)).toEqual([refused.eventId])
      expect(left?.state.events).toEqual([])
    }
  })

  test('a knock shows stripped state, and its refusal ends it', async () => {
    const room = await world.rooms.room('@knock-a:test', { state: [name('@knock-a:test', 'n')] })
    await world.settle()
    const device = await world.device(process, '@knock-b:test')
    await device.sync()
    await room.member('@knock-b:test', 'knock')
    await world.settle()
    expect(types((await device.sync()).rooms?.knock?.[room.roomId]?.knock_state.events)).toEqual([
      'm.room.create',
      'm.room.member',
      'm.room.name',
    ])
    await room.member('@knock-b:test', 'leave', { sender: '@knock-a:test' })
    await world.settle()
    expect((await device.sync()).rooms?.leave?.[room.roomId]?.timeline.events).toHaveLength(1)
  })

  test('who wants no invites is shown none, also those that came before', async () => {
    const user = '@blocked-b:test'
    const room = await world.rooms.room('@blocked-a:test')
    const config = (content: object) => world.accountData(user, 'm.invite_permission_config', content)
    await config({ default_action: 'block' })
    await room.member(user, 'invite', { sender: '@blocked-a:test' })
    await world.settle()
    const device = await world.device(process, user)
    expect((await device.sync()).rooms).toBeUndefined()
    await config({ default_action: {} })
    const later = await world.rooms.room('@blocked-a:test')
    await later.member(user, 'invite', { sender: '@blocked-a:test' })
    await world.settle()
    expect(Object.keys((await device.sync()).rooms?.invite ?? {})).toEqual([later.roomId])
    await config({ default_action: 'block' })
    const last = await world.rooms.room('@blocked-a:test')
    await last.member(user, 'invite', { sender: '@blocked-a:test' })
    await world.settle()
    expect((await device.sync()).rooms).toBeUndefined()
  })

  test('ignored users send no invites and no messages, but state', async () => {
    const bad = '@ignored:test'
    await world.accountData('@ignore-b:test', 'm.ignored_user_list', { ignored_users: { [bad]: {} } })
    const invite = await world.rooms.room(bad)
    await invite.member('@ignore-b:test', 'invite', { sender: bad })
    const room = await world.rooms.room('@ignore-b:test')
    await room.join(bad)
    await room.message(bad, 'unseen')
    await room.state(bad, 'm.room.topic', { topic: 'seen' })
    await world.settle()
    const device = await world.device(process, '@ignore-b:test')
    const initial = await device.sync()
    expect(initial.rooms?.invite).toBeUndefined()
    expect(types(initial.rooms?.join?.[room.roomId]?.timeline.events)).toEqual([
      'm.room.create',
      'm.room.member',
      'm.room.member',
      'm.room.topic',
    ])
    await room.message(bad, 'unseen')
    await world.settle()
    expect((await device.sync()).rooms).toBeUndefined()
    // The list changes: from then on the user is heard again.
    await world.accountData('@ignore-b:test', 'm.ignored_user_list', { ignored_users: {} })
    await room.message(bad, 'seen')
    await world.settle()
    expect(bodies((await device.sync()).rooms?.join?.[room.roomId])).toContain('seen')
  })
})
