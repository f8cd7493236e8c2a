import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type JsonObject, requireRoomVersion, stableRoomVersions } from '@weft/matrix'
import { RoomsRig } from './rig.ts'

let rig: RoomsRig
const alice = '@alice:weft.test'
const bob = '@bob:weft.test'
const carol = '@carol:weft.test'
const mallory = '@mallory:weft.test'

beforeAll(async () => {
  rig = await RoomsRig.start()
})
afterAll(async () => {
  await rig.stop()
})

const upgrade = (userId: string, roomId: string, newVersion: string, additionalCreators: string[] = []) =>
  rig.upgrade.upgrade(userId, roomId, { newVersion, additionalCreators })
const forbidden = { errcode: 'M_FORBIDDEN' }

async function timeline(userId: string, roomId: string) {
  const page = await rig.timelines.messages(await rig.reads.access(userId, roomId), { direction: 'f', limit: 1000 })
  return page.chunk.map((text) => JSON.parse(text) as { event_id: string; type: string; state_key?: string; content: JsonObject })
}

describe.each(stableRoomVersions)('from room version %s', (from) => {
  test.each(['1', '11', '12'].includes(from) ? ['1', '9', '11', '12'] : ['9', '12'])('to %s', async (to) => {
    const [old, version] = [requireRoomVersion(from), requireRoomVersion(to)]
    const alias = `#loom-${from}-${to}:weft.test`
    const roomId = await rig.room(alice, {
      room_version: from,
      preset: 'public_chat',
      visibility: 'public',
      name: 'Loom',
      topic: 'Threads',
      room_alias_name: `loom-${from}-${to}`,
      creation_content: { type: 'org.example.workshop', 'm.federate': false },
      initial_state: [
        { type: 'm.room.encryption', content: { algorithm: 'm.megolm.v1.aes-sha2' } },
        { type: 'org.example.own', content: { stays: true } },
      ],
      power_level_content_override: { users: { ...(old.privilegedCreators ? {} : { [alice]: 100 }), [bob]: 75 } },
    })
    await rig.memberships.join(bob, roomId)
    await rig.memberships.join(mallory, roomId)
    await rig.memberships.ban(alice, mallory, roomId, { reason: 'moths' })
    const last = await rig.text(bob, roomId, 'last words')

    const newId = await upgrade(alice, roomId, to)
    expect(newId.includes(':')).toBe(!version.roomIdIsCreateHash)
    const tombstone = await rig.reads.stateEvent(await rig.reads.access(bob, roomId), 'm.room.tombstone', '')
    expect(tombstone.content).toMatchObject({ replacement_room: newId, body: expect.any(String) })
    const tombstoneId = (JSON.parse(tombstone.text) as { event_id: string }).event_id
    const create = await rig.content(alice, newId, 'm.room.create')
    expect(create).toEqual({
      room_version: to,
      type: 'org.example.workshop',
      'm.federate': false,
      predecessor: { room_id: roomId, event_id: version.roomIdIsCreateHash ? last : tombstoneId },
      ...(version.implicitCreator ? {} : { creator: alice }),
    })
    for (const type of ['m.room.name', 'm.room.topic', 'm.room.join_rules', 'm.room.history_visibility', 'm.room.encryption']) {
      expect(await rig.content(alice, newId, type)).toEqual(await rig.content(alice, roomId, type))
    }
    await expect(rig.content(alice, newId, 'org.example.own')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    expect(await rig.content(alice, newId, 'm.room.member', mallory)).toMatchObject({ membership: 'ban', reason: 'moths' })

    // The alias and the place in the room directory have moved.
    expect((await rig.rooms.byAlias(alias))?.room.roomId).toBe(newId)
    expect(await rig.content(alice, newId, 'm.room.canonical_alias')).toEqual({ alias })
    expect(await rig.content(alice, roomId, 'm.room.canonical_alias')).toEqual({})
    expect([await rig.published.visibility(roomId), await rig.published.visibility(newId)]).toEqual(['private', 'public'])

    // The same power as before: alice all of it, bob his.
    const levels = await rig.content(alice, newId, 'm.room.power_levels')
    const highest = old.privilegedCreators && !version.privilegedCreators ? 150 : 100
    expect(levels.users).toEqual({ ...(version.privilegedCreators ? {} : { [alice]: highest }), [bob]: 75 })
    expect((levels.events as Record<string, number>)['m.room.tombstone']).toBe(old.privilegedCreators ? 150 : 100)
    await rig.set(alice, newId, 'm.room.server_acl', { allow: ['*'] })
    await rig.memberships.join(bob, newId)
    await rig.memberships.join(carol, newId)
    await rig.text(carol, newId, 'hello')
    await expect(rig.memberships.join(mallory, newId)).rejects.toMatchObject(forbidden)
    await expect(rig.set(bob, newId, 'm.room.power_levels', { ...levels, ban: 0 })).rejects.toMatchObject(forbidden)

    // Nobody without power has anything to say in the old room.
    expect(await rig.content(alice, roomId, 'm.room.power_levels')).toMatchObject({ events_default: 50, invite: 50 })
    await rig.memberships.join(carol, roomId)
    await expect(rig.text(carol, roomId, 'hello?')).rejects.toMatchObject(forbidden)
    rig = rig.restarted()
    await rig.text(bob, roomId, 'a last word of who may')
    await rig.text(bob, newId, 'hello')
  })
})

describe('an upgrade', () => {
  test('is for who may send tombstones, to versions that there are', async () => {
    const roomId = await rig.room(alice, { room_version: '10', preset: 'public_chat' })
    await expect(upgrade(bob, roomId, '11')).rejects.toMatchObject(forbidden)
    await rig.memberships.join(bob, roomId)
    await expect(upgrade(bob, roomId, '11')).rejects.toMatchObject(forbidden)
    await expect(upgrade(alice, roomId, '13')).rejects.toMatchObject({ errcode: 'M_UNSUPPORTED_ROOM_VERSION', status: 400 })
    await expect(upgrade(alice, '!nowhere:weft.test', '11')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(upgrade(alice, roomId, '12', ['nobody'])).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    expect((await timeline(alice, roomId)).map((event) => event.type)).not.toContain('m.room.tombstone')
  })

  test('H4 names additional creators where the version has them, and takes none over by itself', async () => {
    const roomId = await rig.room(alice, { room_version: '12', preset: 'trusted_private_chat', invite: [bob] })
    await rig.memberships.join(bob, roomId)
    await expect(upgrade(alice, roomId, '12', [carol])).resolves.toMatch(/^!/)
    const again = await upgrade(bob, roomId, '12', [carol, bob])
    const create = await rig.content(bob, again, 'm.room.create')
    expect(create.additional_creators).toEqual([carol])
    expect((await rig.content(bob, again, 'm.room.power_levels')).users).toEqual({})
    const plain = await rig.room(alice, { room_version: '11' })
    const older = await upgrade(alice, plain, '11', [carol])
    expect(Object.keys(await rig.content(alice, older, 'm.room.create'))).not.toContain('additional_creators')
  })

  test('H4 H1 lists nobody in the power levels who has become a creator', async () => {
    const users = { [alice]: 100, [bob]: 100, [carol]: 50 }
    const roomId = await rig.room(alice, { room_version: '11', power_level_content_override: { users } })
    const newId = await upgrade(alice, roomId, '12', [bob])
    expect((await rig.content(alice, newId, 'm.room.power_levels')).users).toEqual({ [carol]: 50 })
  })

  test('by a moderator restores the levels once all state is set', async () => {
    const events = { 'm.room.tombstone': 50, 'm.room.history_visibility': 100, 'm.room.power_levels': 100 }
    const users = { [alice]: 100, [bob]: 50 }
    const roomId = await rig.room(alice, { room_version: '9', preset: 'public_chat', power_level_content_override: { users, events } })
    await rig.memberships.join(bob, roomId)
    const newId = await upgrade(bob, roomId, '11')
    expect((await rig.content(bob, newId, 'm.room.power_levels')).users).toEqual(users)
    expect(await rig.content(bob, newId, 'm.room.history_visibility')).toEqual({ history_visibility: 'shared' })
    await expect(rig.set(bob, newId, 'm.room.history_visibility', { history_visibility: 'joined' })).rejects.toMatchObject(forbidden)
    // He may not restrict the old room, and so that is passed over.
    expect(await rig.content(alice, roomId, 'm.room.power_levels')).toMatchObject({ events_default: 0 })
    await rig.memberships.join(alice, newId)
    await rig.set(alice, newId, 'm.room.history_visibility', { history_visibility: 'joined' })
  })

  test('makes numbers of levels that were strings, and forgets what never was one', async () => {
    const override = { users: { [alice]: '100', [bob]: ' 7 ' }, events: { 'org.example.x': '30' }, ban: '60', historical: 'x' }
    const roomId = await rig.room(alice, { room_version: '6', power_level_content_override: override })
    const newId = await upgrade(alice, roomId, '10')
    expect(await rig.content(alice, newId, 'm.room.power_levels')).toMatchObject({
      users: { [alice]: 100, [bob]: 7 },
      events: { 'org.example.x': 30 },
      ban: 60,
    })
  })

  test('asked for again, or by many at once, makes one room', async () => {
    const roomId = await rig.room(alice, { room_version: '10' })
    const ids = await Promise.all(Array.from({ length: 4 }, () => upgrade(alice, roomId, '12')))
    expect(new Set(ids).size).toBe(1)
    rig = rig.restarted()
    expect(await upgrade(alice, roomId, '12')).toBe(ids[0])
    expect((await timeline(alice, roomId)).filter((event) => event.type === 'm.room.tombstone')).toHaveLength(1)
    expect(await upgrade(alice, roomId, '11')).not.toBe(ids[0])
  })

  test('takes part in nothing else, and what is sent meanwhile comes after it', async () => {
    const roomId = await rig.room(alice, { room_version: '10', preset: 'public_chat', power_level_content_override: { events_default: 0 } })
    await rig.memberships.join(bob, roomId)
    const upgrading = upgrade(alice, roomId, '11')
    const sends: Promise<unknown>[] = []
    let over = false
    void upgrading.finally(() => {
      over = true
    })
    for (let i = 0; !over; i++) {
      sends.push(rig.text(bob, roomId, `bob ${i}`), rig.text(alice, roomId, `alice ${i}`))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.allSettled(sends)
    const types = (await timeline(alice, roomId)).map((event) => event.content.body?.toString().split(' ')[0] ?? event.type)
    const end = types.indexOf('This')
    expect(types[end + 1]).toBe('m.room.power_levels')
    expect(types.slice(0, end)).toContain('bob')
    expect(new Set(types.slice(end + 2))).toEqual(new Set(types.length > end + 2 ? ['alice'] : []))
    const { roomNid } = (await rig.rooms.byRoomId(roomId))!
    expect(await rig.events.forkExtremities(roomNid)).toEqual([])
  })

  test('that is refused leaves nothing behind, in the old room nor of a new one', async () => {
    const roomId = await rig.room(alice, { room_version: '10', room_alias_name: 'refused' })
    const before = await rooms()
    const { db } = rig.database
    const { roomNid } = (await rig.rooms.byRoomId(roomId))!
    await db.query({ name: 'test.break', text: `ALTER TABLE room_aliases ADD CONSTRAINT broken CHECK (room_nid <= ${roomNid}) NOT VALID` })
    try {
      await expect(upgrade(alice, roomId, '12')).rejects.toThrow()
    } finally {
      await db.query({ name: 'test.mend', text: 'ALTER TABLE room_aliases DROP CONSTRAINT broken' })
    }
    expect(await rooms()).toBe(before)
    expect((await rig.rooms.byAlias('#refused:weft.test'))?.room.roomId).toBe(roomId)
    expect((await timeline(alice, roomId)).map((event) => event.type)).not.toContain('m.room.tombstone')
    await rig.text(alice, roomId, 'as if nothing had been')
    expect(await upgrade(alice, roomId, '12')).toMatch(/^!/)
  })

  async function rooms(): Promise<number> {
    const rows = await rig.database.db.query<{ n: number }>({ name: 'test.rooms', text: 'SELECT count(*) AS n FROM rooms' })
    return rows[0]!.n
  }

  test('takes hundreds of bans along', async () => {
    const roomId = await rig.room(alice, { room_version: '10' })
    for (let i = 0; i < 130; i++) await rig.memberships.ban(alice, `@banned${i}:weft.test`, roomId, { reason: `${i}` })
    const newId = await upgrade(alice, roomId, '12')
    expect(await rig.content(alice, newId, 'm.room.member', '@banned0:weft.test')).toEqual({ membership: 'ban', reason: '0' })
    expect(await rig.content(alice, newId, 'm.room.member', '@banned129:weft.test')).toEqual({ membership: 'ban', reason: '129' })
  })

  test('of a space takes its rooms along', async () => {
    const roomId = await rig.room(alice, { room_version: '10', creation_content: { type: 'm.space' } })
    await rig.set(alice, roomId, 'm.space.child', { via: ['weft.test'], order: 'a' }, '!child:weft.test')
    await rig.set(alice, roomId, 'm.space.child', {}, '!gone:weft.test')
    const newId = await upgrade(alice, roomId, '12')
    expect(await rig.content(alice, newId, 'm.room.create')).toMatchObject({ type: 'm.space' })
    expect(await rig.content(alice, newId, 'm.space.child', '!child:weft.test')).toEqual({ via: ['weft.test'], order: 'a' })
    await expect(rig.content(alice, newId, 'm.space.child', '!gone:weft.test')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  test('brings the settings of those who follow, and a false predecessor brings none (R27)', async () => {
    const roomId = await rig.room(alice, { room_version: '10', preset: 'public_chat' })
    await rig.memberships.join(bob, roomId)
    rig.carried.length = 0
    const newId = await upgrade(alice, roomId, '12')
    expect(rig.carried).toEqual([[alice, roomId, newId]])
    await rig.memberships.join(bob, newId)
    await rig.memberships.join(carol, newId)
    expect(rig.carried.slice(1)).toEqual([[bob, roomId, newId]])
    const trap = await rig.room(mallory, { preset: 'public_chat', creation_content: { predecessor: { room_id: roomId } } })
    await rig.memberships.join(bob, trap)
    expect(rig.carried).toHaveLength(2)
  })
})
