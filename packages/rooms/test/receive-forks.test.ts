import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { roomVersions } from '@weft/matrix'
import { Dice, growRoom, type PeerEvent, type PeerRoom } from '@weft/testkit'
import { namedState, ReceiveRig } from './receive-rig.ts'

let rig: ReceiveRig
/** More of them, from another first one, for a campaign. */
const seeds = Number(process.env.WEFT_FORK_SEEDS ?? 2)
const firstSeed = Number(process.env.WEFT_FORK_FIRST_SEED ?? 0)

beforeAll(async () => {
  rig = await ReceiveRig.start()
})
afterAll(async () => {
  await rig.stop()
})

/** A room with quarrels in it, which this server has seen up to where they began. */
async function quarrel(version: string, seed: number, steps: number): Promise<{ room: PeerRoom; events: PeerEvent[]; dice: Dice }> {
  const dice = new Dice(seed)
  const users = [rig.one.user('alice'), rig.one.user('anna'), rig.two.user('bob'), rig.two.user('bert')]
  const room = await rig.remoteRoom(version, { levels: { state_default: 25, users_default: dice.pick([0, 25]) } })
  return { room, events: growRoom(room, { dice, steps, users }), dice }
}

/** Gives the events to the server in this order, in batches of random size. */
async function deliver(room: PeerRoom, eventIds: readonly string[], dice: Dice): Promise<void> {
  for (let at = 0; at < eventIds.length; ) {
    const batch = eventIds.slice(at, at + 1 + dice.below(8))
    at += batch.length
    for (const { eventId, outcome, reason } of await rig.receive(room, batch)) {
      if (['dropped', 'unavailable'].includes(outcome)) throw new Error(`${eventId} is ${outcome}: ${reason}`)
    }
  }
}

/** What the server has stored of each event is what the rules alone say. */
async function compare(room: PeerRoom, events: readonly PeerEvent[]): Promise<void> {
  for (const event of events) {
    const row = await rig.graphRow(event.eventId)
    expect({ eventId: event.eventId, rejected: row.rejected }).toEqual({ eventId: event.eventId, rejected: event.rejected })
    expect(await rig.stateAfter(event.eventId)).toEqual(namedState(event.after))
  }
  const { state, extremities } = await rig.head(room.roomId)
  expect(state).toEqual(namedState(room.stateAfter(extremities)))
  expect(await rig.current(room.roomId)).toEqual(state)
}

describe.each([...roomVersions.keys()])('room version %s', (version) => {
  test('any order of arrival, in any parts, gives each event the state that the rules give it', async () => {
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
      const { room, events, dice } = await quarrel(version, seed * 100 + Number(version), 30)
      await deliver(room, dice.shuffle(events.map(({ eventId }) => eventId)), dice)
      await compare(room, events)
      rig.forget()
      await compare(room, events.slice(-3))
    }
  })
})

test('(R14) forks that take too much to resolve are left out, and the room goes on', async () => {
  const tight = await ReceiveRig.start({ resolution: { limits: { maxNodes: 5, maxEvents: 5 } } })
  try {
    const room = await tight.remoteRoom('11')
    const tip = room.tips[0] as string
    const alice = tight.one.user('alice')
    const topic = (x: number, prev: string) => room.add({ type: 'm.room.topic', sender: alice, stateKey: '', content: { x }, prev: [prev] })
    const [main, side] = [topic(1, tip), topic(2, tip)]
    const onSide = room.message(alice, 'on the side', { prev: [side.eventId] })
    const outcomes = (received: ReadonlyArray<{ outcome: string }>) => received.map(({ outcome }) => outcome)
    expect(outcomes(await tight.receive(room, [main.eventId]))).toEqual(['accepted'])
    const later = room.message(alice, 'later', { prev: [main.eventId] })
    const received = await tight.receive(room, [side.eventId, onSide.eventId, later.eventId], undefined)
    expect(outcomes(received)).toEqual(['unavailable', 'unavailable', 'accepted'])
    expect(received[0]).toMatchObject({ rule: 'state.exceeded' })
    expect(await tight.stored(side.eventId)).toBeUndefined()
    await tight.rooms.text('@local:weft.test', room.roomId, 'and on')
    expect(await tight.rooms.bodies('@local:weft.test', room.roomId)).toEqual(['later', 'and on'])
  } finally {
    await tight.stop()
  }
})

describe.each(['2', '10', '12'])('many forks, room version %s', (version) => {
  const local = '@local:weft.test'

  /** So many forks from one place: topics, messages and joins. */
  function fork(room: PeerRoom, n: number): PeerEvent[] {
    const tip = room.tips[0] as string
    const alice = rig.one.user('alice')
    return Array.from({ length: n }, (_, i) => {
      if (i % 3 === 0) return room.message(alice, `fork ${i}`, { prev: [tip] })
      if (i % 3 === 1) return room.add({ type: `t${i % 4}`, sender: alice, stateKey: '', content: { i }, prev: [tip] })
      return room.join(rig.two.user(`u${i}`), [tip])
    })
  }

  test('are tied together by events that nobody is shown', async () => {
    const room = await rig.remoteRoom(version)
    const forks = fork(room, 36)
    const received = await rig.receive(
      room,
      forks.map(({ eventId }) => eventId),
    )
    expect(received.every(({ outcome }) => outcome === 'accepted')).toBe(true)
    const seen = await rig.seenByPeers(room.roomId)
    const dummies = [...seen.events.values()].filter(({ pdu }) => pdu.type === 'org.matrix.dummy_event')
    expect(dummies.length).toBeGreaterThan(0)
    expect(dummies.map(({ rejected }) => rejected)).toEqual(dummies.map(() => false))
    const { extremities, state } = await rig.head(room.roomId)
    expect(extremities.length).toBeLessThanOrEqual(10)
    expect(extremities).toEqual([...seen.tips].sort())
    expect(await rig.listedExtremities(room.roomId)).toEqual(extremities)
    expect(state).toEqual(namedState(seen.stateAfter(seen.tips)))
    expect(await rig.rooms.bodies(local, room.roomId)).toHaveLength(12)

    // After a restart the next event stands on what is left, and other servers find it allowed.
    rig.forget()
    const mine = await rig.rooms.text(local, room.roomId, 'mine')
    const later = await rig.seenByPeers(room.roomId)
    expect([...later.get(mine).prevIds].sort()).toEqual(extremities)
    expect(later.get(mine).rejected).toBe(false)
    expect(await rig.stateAfter(mine)).toEqual(namedState(later.get(mine).after))
    expect(await rig.listedExtremities(room.roomId)).toEqual([])
  })

  test('stay where nobody here may tie them together; who leaves names as many as an event can', async () => {
    const room = await rig.remoteRoom(version, { levels: { events_default: 50 } })
    const forks = fork(room, 33)
    await rig.receive(
      room,
      forks.map(({ eventId }) => eventId),
    )
    expect((await rig.head(room.roomId)).extremities).toEqual(forks.map(({ eventId }) => eventId).sort())
    expect(await rig.listedExtremities(room.roomId)).toHaveLength(33)
    await expect(rig.rooms.text(local, room.roomId, 'not allowed')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    rig.forget()
    await rig.rooms.memberships.leave(local, room.roomId)
    const seen = await rig.seenByPeers(room.roomId)
    const leave = [...seen.events.values()].at(-1) as PeerEvent
    expect(leave).toMatchObject({ rejected: false, pdu: { type: 'm.room.member', content: { membership: 'leave' } } })
    expect(leave.prevIds).toHaveLength(20)
    expect(await rig.stateAfter(leave.eventId)).toEqual(namedState(leave.after))
    const { extremities, state } = await rig.head(room.roomId)
    expect(extremities).toEqual([...seen.tips].sort())
    expect(state).toEqual(namedState(seen.stateAfter(seen.tips)))
    expect(await rig.current(room.roomId)).toEqual(state)
  })
})
