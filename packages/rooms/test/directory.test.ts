import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { PublishedRoomsQuery } from '../src/index.ts'
import { RoomsRig } from './rig.ts'

let rig: RoomsRig
const alice = '@alice:weft.test'
const bob = '@bob:weft.test'
const admin = { userId: '@admin:weft.test', isAdmin: true }

beforeAll(async () => {
  rig = await RoomsRig.start()
})
afterAll(async () => {
  await rig.stop()
})
beforeEach(async () => {
  await rig.database.db.query({ name: 'test.unpublish', text: 'DELETE FROM room_directory' })
})

interface Entry {
  room_id: string
  name?: string
  topic?: string
  num_joined_members: number
}
const never = new AbortController().signal
const list = async (query: Partial<PublishedRoomsQuery> = {}) => {
  const page = await rig.published.list({ limit: 100, ...query })
  return { ...page, rooms: page.chunk.map((text) => JSON.parse(text) as Entry) }
}
const names = async (query: Partial<PublishedRoomsQuery> = {}) => (await list(query)).rooms.map((room) => room.name)
const join = async (roomId: string, count: number) => {
  for (let i = 0; i < count; i++) await rig.memberships.join(`@member${i}:weft.test`, roomId)
}

describe('publishing', () => {
  test('is for who may set the canonical alias, and for administrators', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat', name: 'Loom' })
    expect(await rig.published.visibility(roomId)).toBe('private')
    await rig.memberships.join(bob, roomId)
    for (const userId of [bob, '@stranger:weft.test']) {
      await expect(rig.publication.set({ userId, isAdmin: false }, roomId, 'public')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    }
    await rig.publication.set({ userId: alice, isAdmin: false }, roomId, 'public')
    expect(await rig.published.visibility(roomId)).toBe('public')
    expect(await names()).toEqual(['Loom'])
    await rig.publication.set(admin, roomId, 'private')
    expect(await rig.published.visibility(roomId)).toBe('private')
    expect(await names()).toEqual([])
    await rig.publication.set(admin, roomId, 'public')
    expect(await names()).toEqual(['Loom'])
    await expect(rig.published.visibility('!nowhere:weft.test')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(rig.publication.set(admin, '!nowhere:weft.test', 'public')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  test('R27 lists nothing that was not published, and a new room once its entry is made', async () => {
    await rig.room(alice, { preset: 'public_chat', name: 'unpublished' })
    const roomId = await rig.room(alice, { visibility: 'public', name: 'published' })
    expect(await names()).toEqual([])
    expect(await rig.keeper.sweep(never)).toBe(1)
    expect(await names()).toEqual(['published'])
    expect(await rig.published.visibility(roomId)).toBe('public')
  })
})

describe('an entry', () => {
  test('says what the state says, and follows it', async () => {
    const roomId = await rig.room(alice, {
      visibility: 'public',
      name: 'Loom',
      topic: 'Threads',
      room_alias_name: 'directory-loom',
      creation_content: { type: 'm.space' },
      initial_state: [
        { type: 'm.room.avatar', content: { url: 'mxc://weft.test/loom' } },
        { type: 'm.room.history_visibility', content: { history_visibility: 'world_readable' } },
        { type: 'm.room.guest_access', content: { guest_access: 'can_join' } },
      ],
    })
    await rig.keeper.sweep(never)
    const whole = {
      room_id: roomId,
      name: 'Loom',
      topic: 'Threads',
      canonical_alias: '#directory-loom:weft.test',
      avatar_url: 'mxc://weft.test/loom',
      num_joined_members: 1,
      world_readable: true,
      guest_can_join: true,
      join_rule: 'public',
      room_type: 'm.space',
    }
    expect((await list()).rooms).toEqual([whole])
    expect(await rig.keeper.sweep(never)).toBe(0)
    await rig.text(alice, roomId, 'changes nothing')
    expect(await rig.keeper.sweep(never)).toBe(0)
    await rig.memberships.join(bob, roomId)
    const name = await rig.set(alice, roomId, 'm.room.name', { name: 'Heddle' })
    expect(await rig.keeper.sweep(never)).toBe(1)
    expect((await list()).rooms).toEqual([{ ...whole, name: 'Heddle', num_joined_members: 2 }])
    // A redaction changes no state: it is noted, and found by going round.
    await rig.redact(alice, roomId, name)
    expect(await rig.keeper.sweep(never)).toBe(0)
    const { name: _, ...unnamed } = whole
    expect((await list()).rooms).toEqual([{ ...unnamed, num_joined_members: 2 }])
  })

  test('R30 is made of state of any shape', async () => {
    const odd: Record<string, object> = {
      'm.room.name': { name: 1 },
      'm.room.topic': { topic: ['x'], 'm.topic': { 'm.text': [7, { body: 8 }, { body: 'html', mimetype: 'text/html' }] } },
      'm.room.avatar': { url: {} },
      'm.room.join_rules': { join_rule: {} },
      'm.room.guest_access': { guest_access: ['can_join'] },
      'm.room.history_visibility': { history_visibility: 4 },
    }
    const initial_state = Object.entries(odd).map(([type, content]) => ({ type, content: content as never }))
    const roomId = await rig.room(alice, { visibility: 'public', initial_state, creation_content: { type: 9 as never } })
    await rig.keeper.sweep(never)
    expect((await list()).rooms).toEqual([
      { room_id: roomId, num_joined_members: 1, world_readable: false, guest_can_join: false, join_rule: 'invite' },
    ])
    await rig.set(alice, roomId, 'm.room.name', { name: 'nul \u0000 and %_\\' })
    await rig.set(alice, roomId, 'm.room.topic', { topic: '💎'.repeat(3000) })
    await rig.keeper.sweep(never)
    expect(await names()).toEqual(['nul \u0000 and %_\\'])
    expect(await names({ search: '\u0000 AND %_\\' })).toHaveLength(1)
    expect(await names({ search: 'and_%' })).toHaveLength(0)
    expect((await list()).rooms[0]?.topic?.isWellFormed()).toBe(true)
  })

  test('takes the plain text of a topic', async () => {
    const topic = { topic: 'old', 'm.topic': { 'm.text': [{ body: '<b>x</b>', mimetype: 'text/html' }, { body: 'plain' }] } }
    await rig.room(alice, { visibility: 'public', initial_state: [{ type: 'm.room.topic', content: topic as never }] })
    await rig.keeper.sweep(never)
    expect((await list()).rooms[0]?.topic).toBe('plain')
  })
})

describe('the list', () => {
  test('is paged from the largest room on, and back', async () => {
    const ids: string[] = []
    for (const members of [3, 1, 0, 2, 0]) {
      const roomId = await rig.room(alice, { visibility: 'public', name: `${members}` })
      await join(roomId, members)
      ids.push(roomId)
    }
    await rig.keeper.sweep(never)
    const order = [ids[0], ids[3], ids[1], ids[2], ids[4]]
    const seen: string[][] = []
    let since: string | undefined
    let back: string | undefined
    for (;;) {
      const page = await list({ limit: 2, since })
      seen.push(page.rooms.map((room) => room.room_id))
      expect(page.total).toBe(5)
      expect(page.prevBatch === undefined).toBe(seen.length === 1)
      back = page.prevBatch
      since = page.nextBatch
      if (since === undefined) break
    }
    expect(seen).toEqual([order.slice(0, 2), order.slice(2, 4), order.slice(4)])
    const second = await list({ limit: 2, since: back })
    expect(second.rooms.map((room) => room.room_id)).toEqual(order.slice(2, 4))
    const first = await list({ limit: 2, since: second.prevBatch })
    expect(first.rooms.map((room) => room.room_id)).toEqual(order.slice(0, 2))
    expect(first.prevBatch).toBeUndefined()
    expect((await list({ limit: 2, since: first.nextBatch })).rooms.map((room) => room.room_id)).toEqual(order.slice(2, 4))
    for (const token of ['x', 'd', 'd1', 'd-1.2', 'd99999999999.1', `d1.${'9'.repeat(17)}`]) {
      await expect(list({ since: token })).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    }
  })

  test('is searched by name, topic and alias, and filtered by type', async () => {
    await rig.room(alice, { visibility: 'public', name: 'Weavers', room_alias_name: 'hidden-in-the-alias' })
    await rig.room(alice, { visibility: 'public', name: 'Spinners', topic: 'Wool and FLAX' })
    await rig.room(alice, { visibility: 'public', name: 'Guild', creation_content: { type: 'm.space' } })
    await rig.room(alice, { visibility: 'public', name: 'Other', creation_content: { type: 'org.example.x' } })
    await rig.keeper.sweep(never)
    expect(await names({ search: 'weav' })).toEqual(['Weavers'])
    expect(await names({ search: ' flax ' })).toEqual(['Spinners'])
    expect(await names({ search: 'IN-THE-ALIAS' })).toEqual(['Weavers'])
    expect(await names({ search: ' ' })).toHaveLength(4)
    expect(await names({ search: '%' })).toEqual([])
    expect(await names({ roomTypes: ['m.space'] })).toEqual(['Guild'])
    expect((await names({ roomTypes: [null] })).sort()).toEqual(['Spinners', 'Weavers'])
    expect((await names({ roomTypes: ['m.space', null] })).sort()).toEqual(['Guild', 'Spinners', 'Weavers'])
    expect(await names({ roomTypes: [] })).toEqual([])
  })
})

test('the entries cost a send nothing', async () => {
  const roomId = await rig.room(alice, { visibility: 'public' })
  await rig.keeper.sweep(never)
  await rig.text(alice, roomId, 'warm')
  const before = new Map(rig.database.db.statementCounts)
  await rig.text(alice, roomId, 'warmer')
  const ran = [...rig.database.db.statementCounts].filter(([name, n]) => n !== (before.get(name) ?? 0)).map(([name]) => name)
  expect(ran.filter((name) => name.startsWith('directory.'))).toEqual([])
})
