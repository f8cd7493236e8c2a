import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { roomVersions } from '@weft/matrix'
import { type PeerDraft, type PeerRoom, PeerSource } from '@weft/testkit'
import type { EventSource } from '../src/index.ts'
import { namedState, ReceiveRig } from './receive-rig.ts'

let rig: ReceiveRig
const local = '@local:weft.test'

beforeAll(async () => {
  rig = await ReceiveRig.start()
})
afterAll(async () => {
  await rig.stop()
})

describe.each([...roomVersions.keys()])('a room of version %s on another server', (version) => {
  test('is received event by event, and both sides talk on', async () => {
    const room = await rig.remoteRoom(version)
    const bob = rig.two.user('bob')
    const events = [room.join(bob), room.message(bob, 'hello'), room.message(rig.one.user('alice'), 'hi')]
    expect(
      await rig.receive(
        room,
        events.map(({ eventId }) => eventId),
      ),
    ).toEqual(events.map(({ eventId }) => ({ eventId, outcome: 'accepted' })))
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual(['hello', 'hi'])
    expect(await rig.current(room.roomId)).toEqual(namedState(room.stateAfter(room.tips)))
    expect(await rig.head(room.roomId)).toEqual({ state: namedState(room.stateAfter(room.tips)), extremities: [...room.tips] })

    const answer = await rig.rooms.text(local, room.roomId, 'back to you')
    const seen = await rig.seenByPeers(room.roomId)
    expect(seen.get(answer)).toMatchObject({ prevIds: [events[2]?.eventId], rejected: false })
    expect((await rig.receive(seen, [seen.message(bob, 'good').eventId]))[0]?.outcome).toBe('accepted')
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual(['hello', 'hi', 'back to you', 'good'])
  })
})

const alice = () => rig.one.user('alice')
const bob = () => rig.two.user('bob')

async function roomOf(version: string): Promise<PeerRoom> {
  const room = await rig.remoteRoom(version)
  await rig.receive(room, [room.join(bob()).eventId])
  return room
}

const topic = (sender: string, x: number, prev: readonly string[]): PeerDraft => ({
  type: 'm.room.topic',
  sender,
  stateKey: '',
  content: { topic: String(x) },
  prev,
})
const outcomes = (received: ReadonlyArray<{ outcome: string }>) => received.map(({ outcome }) => outcome)

describe('soft failure', () => {
  test.each(['1', '10', '12'])("(R12) the spec's example: an event that evades a ban, room version %s", async (version) => {
    const room = await roomOf(version)
    const open = room.add({
      type: 'm.room.power_levels',
      sender: alice(),
      stateKey: '',
      content: { state_default: 0, users: room.version.privilegedCreators ? {} : { [alice()]: 100 } },
    })
    const ban = room.add({ type: 'm.room.member', sender: alice(), stateKey: bob(), content: { membership: 'ban' }, prev: [open.eventId] })
    const evading = room.add(topic(bob(), 1, [open.eventId]))
    const words = room.message(bob(), 'and words', { prev: [evading.eventId] })
    expect(outcomes(await rig.receive(room, [open.eventId, ban.eventId]))).toEqual(['accepted', 'accepted'])
    expect(outcomes(await rig.receive(room, [evading.eventId, words.eventId]))).toEqual(['soft-failed', 'soft-failed'])

    // Not shown, not built on; kept, with the state after it as if nothing were wrong.
    expect(await rig.stored(evading.eventId)).toMatchObject({ soft_failed: true, rejection_reason: null, stream_ordering: null })
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual([])
    expect((await rig.head(room.roomId)).extremities).toEqual([ban.eventId])
    expect(await rig.stateAfter(evading.eventId)).toEqual(namedState(evading.after))
    const mine = await rig.rooms.text(local, room.roomId, 'mine')
    const seen = await rig.seenByPeers(room.roomId)
    expect(seen.get(mine).prevIds).toEqual([ban.eventId])

    // Another server that had not seen the ban builds on both: what state resolution makes of it holds.
    const both = seen.message(alice(), 'both', { prev: [mine, words.eventId] })
    expect(outcomes(await rig.receive(seen, [both.eventId]))).toEqual(['accepted'])
    expect((await rig.head(room.roomId)).extremities).toEqual([both.eventId])
    const state = await rig.current(room.roomId)
    expect(state).toEqual(namedState(both.before))
    expect(state['m.room.topic|'] === evading.eventId).toBe(version === '1')
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual(['mine', 'both'])
  })

  test('what comes after the ban is seen by who was banned, in the same batch too', async () => {
    const room = await roomOf('11')
    const tip = room.tips[0] as string
    const ban = room.add({ type: 'm.room.member', sender: alice(), stateKey: bob(), content: { membership: 'ban' }, prev: [tip] })
    const side = room.add(topic(alice(), 2, [tip]))
    const late = room.message(bob(), 'late', { prev: [side.eventId] })
    const received = await rig.receive(room, [ban.eventId, side.eventId, late.eventId])
    expect(outcomes(received)).toEqual(['accepted', 'accepted', 'soft-failed'])
  })
})

describe('rejected events', () => {
  test.each(['3', '12'])('(R12) do not change the state of what is built on them, room version %s', async (version) => {
    const room = await roomOf(version)
    const before = room.tips[0] as string
    const bad = room.add(topic(bob(), 1, [before]))
    const message = room.message(bob(), 'fine', { prev: [bad.eventId] })
    const worse = room.add(topic(bob(), 2, [message.eventId]))
    const received = await rig.receive(room, [bad.eventId, message.eventId, worse.eventId])
    expect(outcomes(received)).toEqual(['rejected', 'accepted', 'rejected'])
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual(['fine'])
    // What stands behind the rejected event is behind its followers too.
    expect((await rig.head(room.roomId)).extremities).toEqual([message.eventId])
    expect(await rig.current(room.roomId)).toEqual(namedState(message.after))
    expect(await rig.stateAfter(worse.eventId)).toEqual(namedState(worse.after))
  })

  test('a second create event is none', async () => {
    const room = await roomOf('10')
    const second = room.build(
      { type: 'm.room.create', sender: alice(), stateKey: '', content: { creator: alice() }, prev: [] },
      room.get(room.tips[0] as string).after,
    )
    expect(await rig.give(room, second)).toMatchObject([{ outcome: 'rejected' }])
    const message = room.message(alice(), 'still here')
    expect(outcomes(await rig.receive(room, [message.eventId]))).toEqual(['accepted'])
  })
})

describe('what is missing', () => {
  test('while it is asked for, the room leaves the cache and users send on', async () => {
    const small = await ReceiveRig.start({ headBytes: 1 })
    try {
      const room = await small.remoteRoom('11')
      const other = await small.rooms.room(local)
      const missing = room.message(alice(), 'missing')
      const last = room.message(alice(), 'last')
      const source = new PeerSource(room)
      let here = ''
      const busy: EventSource = {
        missingEvents: async (request) => {
          await small.rooms.text(local, other, 'elsewhere')
          here = await small.rooms.text(local, room.roomId, 'meanwhile')
          return source.missingEvents(request)
        },
        events: (roomId, ids) => source.events(roomId, ids),
        stateIdsBefore: (roomId, id) => source.stateIdsBefore(roomId, id),
      }
      const [received] = await small.receiver.receive({ roomId: room.roomId, pdus: room.pdus([last.eventId]), source: busy })
      expect(received).toMatchObject({ outcome: 'accepted' })
      expect(missing.eventId).not.toBe(here)
      expect(await small.listedExtremities(room.roomId)).toEqual([here, last.eventId].sort())
      expect(await small.head(room.roomId)).toMatchObject({ extremities: [here, last.eventId].sort() })
    } finally {
      await small.stop()
    }
  })

  test('prev events are asked for', async () => {
    const room = await roomOf('11')
    const chain = Array.from({ length: 250 }, (_, i) => room.message(alice(), String(i)))
    const source = new PeerSource(room)
    expect(outcomes(await rig.receive(room, [chain.at(-1)?.eventId as string], source))).toEqual(['accepted'])
    expect(source.asked).toEqual(['missing', 'missing', 'missing'])
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual(chain.map((_, i) => String(i)))
  })

  test('without them an event is left, and taken when it comes again', async () => {
    const room = await roomOf('11')
    const [first, second] = [room.message(alice(), 'first'), room.message(alice(), 'second')]
    const alone = { roomId: room.roomId, pdus: room.pdus([second.eventId]) }
    expect(await rig.receiver.receive(alone)).toMatchObject([{ outcome: 'unavailable', eventId: second.eventId }])
    expect(await rig.stored(second.eventId)).toBeUndefined()
    expect(outcomes(await rig.receive(room, [first.eventId], undefined))).toEqual(['accepted'])
    expect(await rig.receiver.receive(alone)).toMatchObject([{ outcome: 'accepted' }])
    expect(await rig.receiver.receive(alone)).toMatchObject([{ outcome: 'known' }])
  })

  test('the same event twice in one batch is one', async () => {
    const room = await roomOf('11')
    const { eventId } = room.message(alice(), 'once')
    expect(outcomes(await rig.receive(room, [eventId, eventId]))).toEqual(['accepted', 'known'])
  })

  test.each(['2', '11', '12'])('where the way back is too long, the state there is asked for, room version %s', async (version) => {
    const room = await roomOf(version)
    const carol = rig.two.user('carol')
    const hidden = [
      room.join(carol),
      room.add(topic(alice(), 1, room.tips)),
      room.message(carol, 'unheard'),
      room.add(topic(alice(), 2, room.tips)),
    ]
    const gap = hidden.at(-1)?.eventId as string
    const heard = room.message(carol, 'heard')
    const source = new PeerSource(room, { withhold: hidden.map(({ eventId }) => eventId) })
    expect(await rig.receive(room, [heard.eventId], source)).toEqual([{ eventId: heard.eventId, outcome: 'accepted' }])
    expect(await rig.stateAfter(heard.eventId)).toEqual(namedState(heard.after))
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual(['heard'])
    expect(await rig.stored(gap)).toMatchObject({ outlier: true, stream_ordering: null })
    expect(await rig.graph.backwardExtremities((await rig.graphRow(heard.eventId)).roomNid, 10)).toEqual([gap])
    expect(await rig.current(room.roomId)).toEqual(namedState(room.stateAfter((await rig.head(room.roomId)).extremities)))

    // The hole is filled later: outliers get their place, and the way back ends where the room was known.
    const filled = hidden.map(({ eventId }) => eventId)
    expect(outcomes(await rig.receive(room, filled))).toEqual(['accepted', 'accepted', 'accepted', 'accepted'])
    expect(await rig.stored(gap)).toMatchObject({ outlier: false })
    expect(await rig.graph.backwardExtremities((await rig.graphRow(heard.eventId)).roomNid, 10)).toEqual([])
  })

  test('auth events are asked for, and kept without a place', async () => {
    const room = await roomOf('11')
    const tip = room.tips[0] as string
    const carol = rig.two.user('carol')
    // On a fork that nobody shows: Carol joins, and what she says names that join.
    const join = room.join(carol, [tip])
    const said = room.message(carol, 'hello', {
      prev: [tip],
      auth: [...room.message(alice(), 'x', { prev: [tip] }).authIds.slice(0, 2), join.eventId],
    })
    const [received] = await rig.receive(room, [said.eventId], new PeerSource(room, { withhold: [join.eventId] }))
    expect(received).toMatchObject({ outcome: 'rejected', rule: 'auth.6' })
    expect(await rig.stored(join.eventId)).toMatchObject({ outlier: true, rejection_reason: null })
    expect(outcomes(await rig.receive(room, [join.eventId]))).toEqual(['accepted'])
    expect(await rig.stored(join.eventId)).toMatchObject({ outlier: false, stream_ordering: expect.any(Number) })
  })
})

describe('redactions', () => {
  test.each(['1', '10', '12'])('count once both events are here, whichever came first, room version %s', async (version) => {
    const room = await roomOf(version)
    const tip = room.tips[0] as string
    const message = room.message(bob(), 'secret', { prev: [tip] })
    const redaction = room.add({ type: 'm.room.redaction', sender: alice(), redacts: message.eventId, prev: [tip] })
    const foreign = room.add({ type: 'm.room.redaction', sender: rig.home.user('local'), redacts: message.eventId, prev: [tip] })
    const allowed = room.version.redactionInAuthRules ? 'rejected' : 'accepted'
    expect(outcomes(await rig.receive(room, [foreign.eventId, redaction.eventId]))).toEqual([allowed, 'accepted'])
    expect(outcomes(await rig.receive(room, [message.eventId]))).toEqual(['accepted'])
    const shown = JSON.parse(await rig.rooms.reads.event(local, room.roomId, message.eventId))
    expect(shown.content).toEqual({})
    expect(shown.unsigned.redacted_because.event_id).toBe(redaction.eventId)

    const second = room.message(bob(), 'another')
    const own = room.add({ type: 'm.room.redaction', sender: bob(), redacts: second.eventId })
    await rig.receive(room, [second.eventId, own.eventId])
    expect(JSON.parse(await rig.rooms.reads.event(local, room.roomId, second.eventId)).content).toEqual({})
  })

  test('(R08) of a create event do nothing', async () => {
    const room = await roomOf('10')
    const [create] = room.events.keys()
    const none = room.add({ type: 'm.room.redaction', sender: alice(), redacts: create as string })
    await rig.receive(room, [none.eventId])
    expect(await rig.rooms.content(local, room.roomId, 'm.room.create')).toMatchObject({ creator: alice() })
    expect((await rig.head(room.roomId)).extremities).toEqual([none.eventId])
  })
})
