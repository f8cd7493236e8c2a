import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { JsonObject } from '@weft/matrix'
import type { PeerEvent, PeerRoom } from '@weft/testkit'
import { namedState, ReceiveRig } from './receive-rig.ts'

const local = '@local:weft.test'
let rig: ReceiveRig

beforeAll(async () => {
  rig = await ReceiveRig.start({ roomLimits: { stateEntries: 10, stateBytes: 20_000, pending: 3, extremities: 15 } })
})
afterAll(async () => {
  await rig.stop()
})

const alice = () => rig.one.user('alice')
const state = (room: PeerRoom, stateKey: string, content: JsonObject = {}) =>
  room.add({ type: 'test.state', sender: alice(), stateKey, content })
const member = (room: PeerRoom, sender: string, stateKey: string, membership: string) =>
  room.add({ type: 'm.room.member', sender, stateKey, content: { membership } })

async function outcomes(room: PeerRoom, ...events: PeerEvent[]): Promise<string[]> {
  const received = await rig.receive(
    room,
    events.map(({ eventId }) => eventId),
  )
  return received.map(({ outcome, rule }) => (rule === undefined ? outcome : `${outcome} ${rule}`))
}

describe.each(['1', '10', '12'])('(R26) what a member of another server adds to a room of version %s', (version) => {
  test('is so many entries of state', async () => {
    const room = await rig.remoteRoom(version)
    // Create, power levels and join rules are there.
    const first = Array.from({ length: 7 }, (_, i) => state(room, `${i}`))
    expect(await outcomes(room, ...first)).toEqual(first.map(() => 'accepted'))
    const more = [state(room, '7'), state(room, '0', { again: true }), room.join(rig.two.user('bob')), room.message(alice(), 'and on')]
    expect(await outcomes(room, ...more)).toEqual(['rejected limit.state', 'accepted', 'accepted', 'accepted'])
    expect(Object.keys(await rig.current(room.roomId))).not.toContain('test.state|7')
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual(['and on'])
    await rig.rooms.text(local, room.roomId, 'here too')
  })

  test('is so many bytes of state', async () => {
    const room = await rig.remoteRoom(version)
    const text = 'x'.repeat(6000)
    const events = ['a', 'b', 'c', 'd'].map((key) => state(room, key, { text }))
    events.push(state(room, 'a', { text: `${text}x` }), state(room, 'a', { text: 'less' }))
    const full = 'rejected limit.state'
    expect(await outcomes(room, ...events)).toEqual(['accepted', 'accepted', full, full, full, 'accepted'])
    expect(await outcomes(room, state(room, 'c', { text: 'fits now' }))).toEqual(['accepted'])
  })

  test('is so many invitations and knocks that wait', async () => {
    const knock = version !== '1'
    const room = await rig.remoteRoom(version)
    const rules = room.add({ type: 'm.room.join_rules', sender: alice(), stateKey: '', content: { join_rule: knock ? 'knock' : 'invite' } })
    expect(await outcomes(room, rules)).toEqual(['accepted'])
    const users = Array.from({ length: 5 }, (_, i) => rig.two.user(`u${i}`))
    const events = users
      .slice(0, 4)
      .map((user, i) => (knock && i % 2 === 1 ? member(room, user, user, 'knock') : member(room, alice(), user, 'invite')))
    expect(await outcomes(room, ...events)).toEqual(['accepted', 'accepted', 'accepted', 'rejected limit.pending'])
    // Who is answered makes a place, and who waits already may be asked again.
    const [first, , third] = users as [string, string, string]
    expect(await outcomes(room, member(room, alice(), third, 'invite'), member(room, first, first, 'join'))).toEqual([
      'accepted',
      'accepted',
    ])
    expect(await outcomes(room, member(room, alice(), users[4] as string, 'invite'))).toEqual(['accepted'])
  })

  test('is so many forks: further ones are shown, and nothing is built on them', async () => {
    const room = await rig.remoteRoom(version, { levels: { events: { 'org.matrix.dummy_event': 100 } } })
    const tip = room.tips[0] as string
    const side = (i: number) =>
      i % 2 === 0
        ? room.message(alice(), `m${i}`, { prev: [tip] })
        : room.add({ type: 'test.state', sender: alice(), stateKey: `${i % 5}`, content: { i }, prev: [tip] })
    const sides = Array.from({ length: 20 }, (_, i) => side(i))
    expect(await outcomes(room, ...sides)).toEqual(sides.map(() => 'accepted'))
    const kept = sides.slice(0, 15)
    const head = await rig.head(room.roomId)
    expect(head.extremities).toEqual(kept.map(({ eventId }) => eventId).sort())
    expect(head.state).toEqual(namedState(room.resolve(kept.map(({ after }) => after))))
    expect(await rig.rooms.bodies(local, room.roomId)).toHaveLength(10)
    for (const { eventId, after } of sides) expect(await rig.stateAfter(eventId)).toEqual(namedState(after))
    rig.forget()
    expect((await rig.head(room.roomId)).extremities).toEqual(head.extremities)
    // What ties two together is listed in their place, and with it what was not.
    const [a, b] = [kept[0] as PeerEvent, sides[17] as PeerEvent]
    const tie = room.message(alice(), 'tie', { prev: [a.eventId, b.eventId] })
    expect(await outcomes(room, tie)).toEqual(['accepted'])
    const after = await rig.head(room.roomId)
    expect(after.extremities).toEqual([...kept.slice(1).map(({ eventId }) => eventId), tie.eventId].sort())
    expect(after.state).toEqual(namedState(room.resolve([...kept.slice(1), tie].map((event) => event.after))))
    expect(await rig.current(room.roomId)).toEqual(after.state)
  })
})

test('(R26) a transaction brings at most 50 events', async () => {
  const room = await rig.remoteRoom('11')
  const events = Array.from({ length: 51 }, (_, i) => room.message(alice(), `${i}`))
  const pdus = room.pdus(events.map(({ eventId }) => eventId))
  const request = { roomId: room.roomId, origin: 'one.test' }
  await expect(rig.receiver.receive({ ...request, pdus })).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
  expect(await rig.receiver.receive({ ...request, pdus: pdus.slice(0, 50) })).toHaveLength(50)
})
