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
  const tight = await ReceiveRig.start({ pool: { limits: { maxNodes: 5, maxEvents: 5 } } })
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
