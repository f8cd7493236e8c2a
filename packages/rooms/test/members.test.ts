import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { JsonObject } from '@weft/matrix'
import { RoomsRig } from './rig.ts'

let rig: RoomsRig
const alice = '@alice:weft.test'
const bob = '@bob:weft.test'
const carol = '@carol:weft.test'
const dave = '@dave:weft.test'

beforeAll(async () => {
  rig = await RoomsRig.start()
})
afterAll(async () => {
  await rig.stop()
})

const forbidden = { errcode: 'M_FORBIDDEN', status: 403 }
const sql = (name: string, text: string, values: unknown[] = []) => rig.database.db.query({ name: `test.${name}`, text }, values)
const member = (userId: string, roomId: string, target: string, content: JsonObject) =>
  rig.set(userId, roomId, 'm.room.member', content, target)

describe('invitations', () => {
  const taken: Array<[key: string, cost: number]> = []
  beforeEach(() => {
    taken.length = 0
    rig.buckets = (key, _limit, cost) => {
      taken.push([key, cost])
      return key.includes('@late') ? { ok: false, retryAfterMs: 2500 } : { ok: true }
    }
    const limit = { perSecond: 1, burstCount: 2 }
    Object.assign(rig.inviteLimits, { perIssuer: limit, perRoom: limit, perUser: limit })
  })

  test('are counted by issuer, room and user, each once', async () => {
    const roomId = await rig.room(alice, { invite: [bob, carol, dave] })
    expect(taken).toEqual([
      [`invites:${alice}`, 2],
      [`invites.user:${bob}`, 1],
      [`invites.user:${carol}`, 1],
      [`invites.user:${dave}`, 1],
    ])
    taken.length = 0
    await rig.memberships.invite(alice, '@e:weft.test', roomId)
    expect(taken).toEqual([
      [`invites.room:${roomId}`, 1],
      ['invites.user:@e:weft.test', 1],
    ])
    taken.length = 0
    await member(alice, roomId, '@f:weft.test', { membership: 'invite' })
    expect(taken.map(([key]) => key)).toEqual([`invites:${alice}`, `invites.room:${roomId}`, 'invites.user:@f:weft.test'])
    const tooMany = { errcode: 'M_LIMIT_EXCEEDED', status: 429, fields: { retry_after_ms: 2500 }, headers: { 'Retry-After': '3' } }
    await expect(rig.memberships.invite(alice, '@late:weft.test', roomId)).rejects.toMatchObject(tooMany)
    await expect(member(alice, roomId, '@late:weft.test', { membership: 'invite' })).rejects.toMatchObject(tooMany)
    await expect(rig.room(alice, { invite: ['@late:weft.test'] })).rejects.toMatchObject(tooMany)
  })

  test('are blocked where the user wants none', async () => {
    await sql(
      'block',
      `INSERT INTO account_data (user_id, room_nid, account_data_type, stream_id, content)
       VALUES ('@shut:weft.test', 0, 'm.invite_permission_config', 1, '{"default_action":"block"}'),
         ('@odd:weft.test', 0, 'm.invite_permission_config', 2, '["default_action"]')`,
    )
    const roomId = await rig.room(alice)
    const blocked = { errcode: 'M_INVITE_BLOCKED', status: 403 }
    await expect(rig.memberships.invite(alice, '@shut:weft.test', roomId)).rejects.toMatchObject(blocked)
    await expect(member(alice, roomId, '@shut:weft.test', { membership: 'invite' })).rejects.toMatchObject(blocked)
    await expect(rig.room(alice, { invite: [bob, '@shut:weft.test'] })).rejects.toMatchObject(blocked)
    await rig.memberships.invite(alice, '@odd:weft.test', roomId)
  })

  test('R26 wait in no greater number than anybody answers, as knocks do', async () => {
    const pending = `INSERT INTO room_memberships (user_id, room_nid, membership, event_nid, event_stream_ordering)`
    await sql(
      'pending',
      `${pending} SELECT '@popular:weft.test', -n, CASE n % 2 WHEN 0 THEN 'invite' ELSE 'knock' END, 1, 1 FROM generate_series(1, 1000) n`,
    )
    const roomId = await rig.room(alice)
    await expect(rig.memberships.invite(alice, '@popular:weft.test', roomId)).rejects.toMatchObject(forbidden)
    const open = await rig.room(alice, { initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }] })
    await expect(rig.memberships.knock('@popular:weft.test', open)).rejects.toMatchObject(forbidden)
    await sql('answer', `DELETE FROM room_memberships WHERE user_id = '@popular:weft.test' AND room_nid = -1`)
    await rig.memberships.knock('@popular:weft.test', open)
    const { roomNid } = (await rig.rooms.byRoomId(open))!
    await sql('knocks', `${pending} SELECT '@k' || n || ':weft.test', $1, 'knock', 1, 1 FROM generate_series(1, 999) n`, [roomNid])
    await expect(rig.memberships.knock(bob, open)).rejects.toMatchObject(forbidden)
    await expect(member(bob, open, bob, { membership: 'knock' })).rejects.toMatchObject(forbidden)
  })
})

describe('member state by hand', () => {
  test('keeps to what the endpoints keep to', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat' })
    await member(bob, roomId, bob, { membership: 'join', displayname: 'Bob', 'org.example.more': 1 })
    expect(await rig.content(alice, roomId, 'm.room.member', bob)).toEqual({
      membership: 'join',
      displayname: 'Bob',
      'org.example.more': 1,
    })
    await expect(member(bob, roomId, carol, { membership: 'join' })).rejects.toMatchObject(forbidden)
    await expect(member(bob, roomId, 'bob', { membership: 'join' })).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    await expect(member(bob, roomId, bob, { membership: 1 })).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    await expect(member(bob, roomId, bob, {})).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    await expect(member(bob, roomId, bob, { membership: 'elsewhere' })).rejects.toMatchObject(forbidden)
    await expect(member(alice, roomId, carol, { membership: 'invite', third_party_invite: {} })).rejects.toMatchObject({
      errcode: 'M_BAD_JSON',
    })
    await expect(member(alice, roomId, '@x:elsewhere', { membership: 'invite' })).rejects.toMatchObject(forbidden)
    await member(alice, roomId, bob, { membership: 'ban', reason: 'moth' })
    expect(await rig.content(alice, roomId, 'm.room.member', bob)).toEqual({ membership: 'ban', reason: 'moth' })
  })

  test('names nobody who lets its sender in', async () => {
    const club = await rig.room(alice, { preset: 'public_chat' })
    const allow = [{ type: 'm.room_membership', room_id: club }]
    const roomId = await rig.room(alice, {
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'restricted', allow } }],
    })
    const join = { membership: 'join', join_authorised_via_users_server: alice }
    await expect(member(bob, roomId, bob, join)).rejects.toMatchObject(forbidden)
    await rig.memberships.join(bob, club)
    await member(bob, roomId, bob, { membership: 'join', join_authorised_via_users_server: bob })
    expect(await rig.content(bob, roomId, 'm.room.member', bob)).toEqual(join)
  })
})

describe('lists of members', () => {
  test('R28 are of a moment, with one membership or without one', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat', invite: [dave] })
    await rig.memberships.join(bob, roomId)
    const page = await rig.timelines.messages(await rig.reads.access(alice, roomId), { direction: 'f', limit: 100 })
    const then = rig.timelines.position(
      page.end ?? (await rig.timelines.messages(await rig.reads.access(alice, roomId), { direction: 'b', limit: 1 })).start,
    )
    await rig.memberships.join(carol, roomId)
    await rig.memberships.leave(bob, roomId)
    const list = async (userId: string, query: Parameters<typeof rig.reads.members>[1]) => {
      const found: string[] = []
      for await (const part of rig.reads.members(await rig.reads.access(userId, roomId), query)) found.push(JSON.parse(part).state_key)
      return found.sort()
    }
    expect(await list(alice, {})).toEqual([alice, bob, carol, dave])
    expect(await list(alice, { membership: 'join' })).toEqual([alice, carol])
    expect(await list(alice, { notMembership: 'leave' })).toEqual([alice, carol, dave])
    expect(await list(alice, { membership: 'leave', notMembership: 'join' })).toEqual([bob, dave])
    expect(await list(alice, { at: then })).toEqual([alice, bob, dave])
    expect(await list(alice, { at: then, membership: 'join' })).toEqual([alice, bob])
    // R28: of what came after, who has left learns nothing, whatever moment is asked for.
    await rig.memberships.ban(alice, dave, roomId)
    expect(await list(bob, { membership: 'join' })).toEqual([alice, carol])
    expect(await list(bob, { at: Number.MAX_SAFE_INTEGER, membership: 'ban' })).toEqual([])
    const joined: string[] = []
    for await (const part of rig.reads.joinedMembers(await rig.reads.access(alice, roomId))) joined.push(part)
    expect(JSON.parse(`{${joined.join(',')}}`)).toEqual({ [alice]: { display_name: 'A' }, [carol]: { display_name: 'C' } })
  })
})

describe('aliases', () => {
  test('R27 are of this server, taken once and never taken over', async () => {
    const mine = await rig.room(alice, { preset: 'public_chat', room_alias_name: 'mine' })
    await rig.memberships.join(bob, mine)
    const his = await rig.room(bob, { preset: 'public_chat' })
    await expect(rig.aliases.create(bob, '#mine:weft.test', his)).rejects.toMatchObject({ errcode: 'M_UNKNOWN', status: 409 })
    expect((await rig.rooms.byAlias('#mine:weft.test'))?.room.roomId).toBe(mine)
    await expect(rig.aliases.create(bob, '#x:elsewhere', his)).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await expect(rig.aliases.create(carol, '#x:weft.test', his)).rejects.toMatchObject(forbidden)
    await expect(rig.aliases.remove({ userId: bob, isAdmin: false }, '#mine:weft.test')).rejects.toMatchObject(forbidden)
    await rig.aliases.create(bob, '#also:weft.test', mine)
    await rig.aliases.remove({ userId: alice, isAdmin: false }, '#also:weft.test')
  })

  test('in the canonical alias lead to the room, unless they stood there before', async () => {
    const roomId = await rig.room(alice, { room_alias_name: 'canon' })
    const other = await rig.room(alice, { room_alias_name: 'other-canon' })
    const set = (content: JsonObject) => rig.set(alice, roomId, 'm.room.canonical_alias', content)
    await rig.aliases.create(alice, '#second:weft.test', roomId)
    await set({ alias: '#canon:weft.test', alt_aliases: ['#second:weft.test'] })
    await expect(set({ alias: '#other-canon:weft.test' })).rejects.toMatchObject({ errcode: 'M_BAD_ALIAS', status: 400 })
    await expect(set({ alias: '#nowhere:weft.test' })).rejects.toMatchObject({ errcode: 'M_BAD_ALIAS' })
    await expect(set({ alt_aliases: ['#nowhere:weft.test'] })).rejects.toMatchObject({ errcode: 'M_BAD_ALIAS' })
    for (const wrong of [{ alias: 'canon' }, { alias: 1 }, { alt_aliases: ['x'] }, { alt_aliases: 'x' }, { alt_aliases: [1] }]) {
      await expect(set(wrong as never)).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    }
    await sql('gone', `DELETE FROM room_aliases WHERE room_alias = '#second:weft.test'`)
    await set({ alias: null, alt_aliases: ['#second:weft.test'] })
    await set({})
    await expect(set({ alt_aliases: ['#second:weft.test'] })).rejects.toMatchObject({ errcode: 'M_BAD_ALIAS' })
    await expect(
      rig.room(alice, {
        initial_state: [{ type: 'm.room.canonical_alias', content: { alias: '#canon:weft.test' } }],
      }),
    ).rejects.toMatchObject({ errcode: 'M_BAD_ALIAS' })
    expect((await rig.rooms.byAlias('#other-canon:weft.test'))?.room.roomId).toBe(other)
  })

  test('R26 are so many for a room, and so many for a user', async () => {
    const roomId = await rig.room(alice)
    const { roomNid } = (await rig.rooms.byRoomId(roomId))!
    const fill = 'INSERT INTO room_aliases (room_alias, room_nid, creator)'
    await sql('fillRoom', `${fill} SELECT '#full' || n || ':weft.test', $1, '@x:y' FROM generate_series(1, 500) n`, [roomNid])
    await expect(rig.aliases.create(alice, '#one-more:weft.test', roomId)).rejects.toMatchObject({ errcode: 'M_LIMIT_EXCEEDED' })
    const other = await rig.room(dave)
    await rig.aliases.create(dave, '#first:weft.test', other)
    await sql('fillUser', `${fill} SELECT '#daves' || n || ':weft.test', -1, $1 FROM generate_series(1, 999) n`, [dave])
    await expect(rig.aliases.create(dave, '#too-many:weft.test', other)).rejects.toMatchObject({ errcode: 'M_LIMIT_EXCEEDED' })
    await expect(rig.room(dave, { room_alias_name: 'too-many' })).rejects.toMatchObject({ errcode: 'M_LIMIT_EXCEEDED' })
  })
})

describe('state', () => {
  test('R15 of its own making shuts no server out of its room', async () => {
    const invalid = { errcode: 'M_INVALID_PARAM', status: 400 }
    const roomId = await rig.room(alice)
    const acls: JsonObject[] = [{}, { allow: [] }, { allow: ['*'], deny: ['WEFT.*'] }, { allow: ['weft.other'] }]
    for (const acl of acls) {
      await expect(rig.set(alice, roomId, 'm.room.server_acl', acl)).rejects.toMatchObject(invalid)
      const initial_state = [{ type: 'm.room.server_acl', content: acl }]
      await expect(rig.room(alice, { initial_state })).rejects.toMatchObject(invalid)
    }
    await rig.set(alice, roomId, 'm.room.server_acl', { allow: ['*'], deny: ['*.evil.org'], allow_ip_literals: false })
  })

  test('R26 has so many entries, whoever adds them', async () => {
    const roomId = await rig.room(alice)
    await rig.set(alice, roomId, 'org.example.kept', { n: 0 })
    const head = await rig.heads.get(roomId)
    const entry = head.get('org.example.kept', '')!
    for (let i = 0; i < 20_000; i++) head.setState({ ...entry, stateKey: `${i}` })
    await expect(rig.set(alice, roomId, 'org.example.new', {})).rejects.toMatchObject({ errcode: 'M_TOO_LARGE', status: 413 })
    await rig.set(alice, roomId, 'org.example.kept', { n: 1 })
    rig = rig.restarted()
    const large = await rig.room(alice)
    const other = await rig.heads.get(large)
    for (let i = 0; i < 600; i++) other.setState({ ...entry, stateKey: `${i}`, content: { text: 'x'.repeat(60_000) } })
    await expect(rig.set(alice, large, 'org.example.new', {})).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
    // What is there may be changed, to less.
    await expect(rig.set(alice, large, 'm.room.join_rules', { join_rule: 'public', more: 'x' })).rejects.toMatchObject({
      errcode: 'M_TOO_LARGE',
    })
    await rig.set(alice, large, 'm.room.join_rules', { join_rule: 'knock' })
    rig = rig.restarted()
  })
})
