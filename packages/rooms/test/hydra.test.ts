import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type JsonObject, joinPdu, requireRoomVersion } from '@weft/matrix'
import type { PeerDraft, PeerEvent, PeerRoom } from '@weft/testkit'
import { ReceiveRig } from './receive-rig.ts'

// matrix.org/blog/2025/08/project-hydra-improving-state-res: what rooms of version 12 are for, and what older ones go on doing.

let rig: ReceiveRig
const local = '@local:weft.test'
const [ann, ben] = ['@ann:weft.test', '@ben:weft.test']
const forbidden = { errcode: 'M_FORBIDDEN' }
const malformed = { errcode: 'M_BAD_JSON' }

beforeAll(async () => {
  rig = await ReceiveRig.start()
})
afterAll(async () => {
  await rig.stop()
})

const alice = () => rig.one.user('alice')
const bob = () => rig.two.user('bob')
const mallory = () => rig.two.user('mallory')

/** Alice's room with Bob in it, who has half of her power. */
async function roomOf(version: string): Promise<PeerRoom> {
  const users: JsonObject = requireRoomVersion(version).privilegedCreators ? {} : { [alice()]: 100 }
  const room = await rig.remoteRoom(version, { levels: { users: { ...users, [bob()]: 50 } } })
  await give(room, room.join(bob()))
  return room
}

async function give(room: PeerRoom, ...events: PeerEvent[]): Promise<string[]> {
  const received = await rig.receive(
    room,
    events.map(({ eventId }) => eventId),
  )
  return received.map(({ outcome }) => outcome)
}

const state = (type: string, sender: string, content: JsonObject, more: Partial<PeerDraft> = {}): PeerDraft => ({
  ...{ type: `m.room.${type}`, sender, stateKey: '', content },
  ...more,
})
const membership = (sender: string, stateKey: string, to: string, more: Partial<PeerDraft> = {}) =>
  state('member', sender, { membership: to }, { stateKey, ...more })

/** The ids of the current state's events at these keys, from the table. */
async function current(room: PeerRoom, ...keys: string[]): Promise<Array<string | undefined>> {
  const all = await rig.current(room.roomId)
  const { state: inMemory } = await rig.head(room.roomId)
  expect(inMemory).toEqual(all)
  return keys.map((key) => all[`m.room.${key}`])
}

describe('(R13, H2) a room id without a domain', () => {
  test('is the hash of the create event, which no event of the room names', async () => {
    const roomId = await rig.rooms.room(ann, { preset: 'public_chat', room_alias_name: 'domainless' })
    expect(roomId).toMatch(/^![A-Za-z0-9_-]{43}$/)
    expect((await rig.rooms.rooms.byAlias('#domainless:weft.test'))?.room.roomId).toBe(roomId)
    const eventId = await rig.rooms.text(ann, roomId, 'hello')
    const createId = `$${roomId.slice(1)}`
    const pduOf = async (id: string) => {
      const row = await rig.graphRow(id)
      return joinPdu(row.json, row.envelope, roomId, requireRoomVersion('12')) as unknown as JsonObject
    }
    expect(Object.keys(await pduOf(createId))).not.toContain('room_id')
    expect(await pduOf(eventId)).toMatchObject({ room_id: roomId })
    expect((await pduOf(eventId)).auth_events).not.toContain(createId)
    // To clients the create event has a room id all the same.
    expect(JSON.parse(await rig.rooms.reads.event(ann, roomId, createId))).toMatchObject({ room_id: roomId, type: 'm.room.create' })
  })

  test('is good for aliases, joins, restricted joins, access lists, redactions and upgrades', async () => {
    const club = await rig.rooms.room(ann, { preset: 'public_chat' })
    const rules = { join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: club }] }
    const roomId = await rig.rooms.room(ann, { initial_state: [{ type: 'm.room.join_rules', content: rules }] })
    await expect(rig.rooms.memberships.join(ben, roomId)).rejects.toMatchObject(forbidden)
    await rig.rooms.memberships.join(ben, club)
    await rig.rooms.memberships.join(ben, roomId)
    await rig.rooms.aliases.create(ann, '#restricted:weft.test', roomId)
    await rig.rooms.set(ann, roomId, 'm.room.server_acl', { allow: ['*'], deny: ['evil.test'], allow_ip_literals: false })
    const said = await rig.rooms.text(ben, roomId, 'said')
    await rig.rooms.redact(ann, roomId, said)
    rig.forget()
    expect(await rig.rooms.bodies(ben, roomId)).toEqual([undefined])
    const request = { roomId, pdus: [] }
    await expect(rig.receiver.receive({ ...request, origin: 'evil.test' })).rejects.toMatchObject(forbidden)
    expect(await rig.receiver.receive({ ...request, origin: 'one.test' })).toEqual([])
    const newId = await rig.rooms.upgrade.upgrade(ann, roomId, { newVersion: '12', additionalCreators: [] })
    expect(newId).toMatch(/^![^:]{43}$/)
    expect((await rig.rooms.content(ann, newId, 'm.room.create')).predecessor).toMatchObject({ room_id: roomId })
  })

  test('is not another one: an id with a domain, one of another create event, a create event that says its room', async () => {
    const room = await roomOf('12')
    const open = (roomId: string, pdus = room.pdus()) => rig.receiver.open({ roomId, roomVersion: '12', pdus })
    await expect(open(`${room.roomId}:one.test`)).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    await expect(open(`!${'A'.repeat(43)}`)).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    const [create] = room.pdus() as JsonObject[]
    await expect(open('!named:one.test', [{ ...create, room_id: '!named:one.test' }])).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    const elsewhere = { ...(room.message(alice(), 'x').pdu as unknown as JsonObject), room_id: `${room.roomId}:one.test` }
    expect(await rig.give(room, elsewhere)).toMatchObject([{ outcome: 'dropped', rule: 'format.room_id' }])
  })
})

describe('(R13, H3) state resets', () => {
  test.each(['2', '6', '10', '11', '12'])('a stale fork takes nothing back, room version %s', async (version) => {
    const room = await roomOf(version)
    await give(room, room.join(mallory()))
    const early = room.tips
    const users = requireRoomVersion(version).privilegedCreators ? { [bob()]: 75 } : { [alice()]: 100, [bob()]: 75 }
    const later = [
      room.add(state('power_levels', alice(), { users })),
      room.add(state('join_rules', alice(), { join_rule: 'invite' })),
      room.add(membership(alice(), mallory(), 'ban')),
      room.message(alice(), 'peace'),
    ]
    expect(await give(room, ...later)).toEqual(['accepted', 'accepted', 'accepted', 'accepted'])
    const keys = ['power_levels|', 'join_rules|', `member|${mallory()}`, `member|${bob()}`, `member|${local}`, 'create|']
    const before = await current(room, ...keys)
    // From where Mallory still was in, years later by her clock, and deeper than anything.
    const stale: PeerEvent[] = []
    for (let i = 0; i < 5; i++) {
      const more = { prev: stale.length > 0 ? [(stale.at(-1) as PeerEvent).eventId] : early, ts: 2_000_000_000_000 + i, depth: 1000 + i }
      stale.push(i % 2 === 0 ? room.message(mallory(), `${i}`, more) : room.add(membership(mallory(), mallory(), 'join', more)))
    }
    expect(await give(room, ...stale)).toEqual(stale.map(() => 'soft-failed'))
    expect(await current(room, ...keys)).toEqual(before)
    // What Bob sends upon it all ties it in, and still nothing comes back.
    const tie = room.message(bob(), 'tie', { prev: [(later.at(-1) as PeerEvent).eventId, (stale.at(-1) as PeerEvent).eventId] })
    expect(await give(room, tie)).toEqual(['accepted'])
    expect(await current(room, ...keys)).toEqual(before)
    await rig.rooms.text(local, room.roomId, 'and on')
    rig.forget()
    expect(await current(room, ...keys)).toEqual(before)
  })

  // Alice leaves; Bob gives up his power on one side and closes the room on the other.
  test.each([
    ['11', false],
    ['12', true],
  ])('(H8) room version %s keeps its join rules: %p', async (version, kept) => {
    const room = await roomOf(version)
    const rules = room.stateAfter(room.tips).get('m.room.join_rules', '')
    const left = room.add(membership(alice(), alice(), 'leave'))
    const users = requireRoomVersion(version).privilegedCreators ? { [bob()]: 0 } : { [alice()]: 100, [bob()]: 0 }
    const prev = [left.eventId]
    const demoted = room.add(state('power_levels', bob(), { users }, { prev, ts: 1_800_000_000_000 }))
    const closed = room.add(state('join_rules', bob(), { join_rule: 'invite' }, { prev, ts: 1_900_000_000_000 }))
    expect(await give(room, left, closed)).toEqual(['accepted', 'accepted'])
    expect(await give(room, demoted)).toEqual(['accepted'])
    expect(await current(room, 'join_rules|', 'power_levels|')).toEqual([kept ? rules : undefined, demoted.eventId])
  })

  // Carol joins while everybody may, then the room closes. On one side Bob removes her, on the other he gives up his power.
  test.each([
    ['11', false],
    ['12', true],
  ])('(H8) room version %s keeps a member whose removal is undone: %p', async (version, kept) => {
    const room = await roomOf(version)
    const carol = rig.two.user('carol')
    const joined = room.join(carol)
    const closed = room.add(state('join_rules', alice(), { join_rule: 'invite' }))
    const users = requireRoomVersion(version).privilegedCreators ? { [bob()]: 0 } : { [alice()]: 100, [bob()]: 0 }
    const prev = [closed.eventId]
    const removed = room.add(membership(bob(), carol, 'leave', { prev, ts: 1_900_000_000_000 }))
    const demoted = room.add(state('power_levels', bob(), { users }, { prev, ts: 1_800_000_000_000 }))
    expect(await give(room, joined, closed, removed)).toEqual(['accepted', 'accepted', 'accepted'])
    expect(await give(room, demoted)).toEqual(['accepted'])
    const keys = [`member|${carol}`, 'join_rules|', 'power_levels|']
    expect(await current(room, ...keys)).toEqual([kept ? joined.eventId : undefined, closed.eventId, demoted.eventId])
    expect((await rig.rooms.heads.get(room.roomId)).membership(carol)).toBe(kept ? 'join' : undefined)
  })
})

describe('(R13) creators of rooms of version 12', () => {
  test('(H6) are not to be removed, and have their power whatever the levels say', async () => {
    const roomId = await rig.rooms.room(ann, { preset: 'trusted_private_chat', invite: [ben] })
    await rig.rooms.memberships.join(ben, roomId)
    const guest = '@guest:weft.test'
    await rig.rooms.memberships.invite(ben, guest, roomId)
    await rig.rooms.memberships.join(guest, roomId)
    const levels = await rig.rooms.content(ann, roomId, 'm.room.power_levels')
    await rig.rooms.set(ann, roomId, 'm.room.power_levels', { ...levels, users: { [guest]: 9_000_000 } })
    for (const creator of [ann, ben]) {
      await expect(rig.rooms.memberships.kick(guest, creator, roomId)).rejects.toMatchObject(forbidden)
      await expect(rig.rooms.memberships.ban(guest, creator, roomId)).rejects.toMatchObject(forbidden)
      await expect(
        rig.rooms.set(guest, roomId, 'm.room.power_levels', { ...levels, users: { [guest]: 1, [creator]: 0 } }),
      ).rejects.toMatchObject(malformed)
    }
    await rig.rooms.set(ben, roomId, 'm.room.power_levels', { ...levels, users: {}, ban: 9_007_199_254_740_991 })
    await rig.rooms.memberships.ban(ben, guest, roomId)
  })

  test('(H1, H4) may be several, and the levels can name none of them', async () => {
    const room = await roomOf('12')
    const users = (named: JsonObject) => room.add(state('power_levels', alice(), { users: named }, { prev: room.tips.slice(0, 1) }))
    expect(await give(room, users({ [alice()]: 100 }))).toEqual(['rejected'])
    const roomId = await rig.rooms.room(ann, { creation_content: { additional_creators: [ben] } })
    const levels = await rig.rooms.content(ann, roomId, 'm.room.power_levels')
    await expect(rig.rooms.set(ann, roomId, 'm.room.power_levels', { ...levels, users: { [ben]: 100 } })).rejects.toMatchObject(malformed)
    await expect(rig.rooms.room(ann, { creation_content: { additional_creators: ['nobody'] } })).rejects.toMatchObject({
      errcode: 'M_INVALID_PARAM',
    })
  })
})
