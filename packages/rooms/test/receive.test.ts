import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { roomVersions } from '@weft/matrix'
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
