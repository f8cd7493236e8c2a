import assert from 'node:assert/strict'
import { ClientEvent, Direction, Preset, RoomEvent, SyncState } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { bodies, PASSWORD, Person, refused } from './person.ts'
import { registerAtOnce } from './registration.ts'

async function logIn(baseUrl: string, user: string, deviceId?: string): Promise<Person> {
  const response = await new Person(baseUrl).client.loginRequest({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user },
    password: PASSWORD,
    initial_device_display_name: 'Interop',
    device_id: deviceId,
  })
  return new Person(baseUrl, response)
}

const texts = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `message ${from + i}`)

export function history(cast: Cast): Part {
  return async (step) => {
    const { alice, bob, baseUrl } = cast
    const silent = await Promise.all(Array.from({ length: 6 }, (_, i) => registerAtOnce(baseUrl, `silent${i}`)))
    const roomId = await step('a room of eight, where two speak, fills with messages', async () => {
      const { room_id } = await alice.client.createRoom({ name: 'Long', preset: Preset.PublicChat })
      await bob.client.joinRoom(room_id)
      for (const { client } of silent) await client.joinRoom(room_id)
      for (const text of texts(0, 30)) await alice.says(room_id, text)
      await bob.until('the last message', () => bodies(bob.room(room_id)).includes('message 29'))
      return room_id
    })
    const late = await logIn(baseUrl, bob.id)
    await step('a new device knows the end of the room, and who spoke there or names it, but not all', async () => {
      await late.start({ lazyLoadMembers: true, initialSyncLimit: 5 })
      assert.deepEqual(bodies(late.room(roomId)), texts(25, 30))
      const known = late
        .room(roomId)
        .getMembers()
        .map((member) => member.userId)
      // A summary names five heroes, whose member events come along.
      const unknown = silent.map(({ id }) => id).filter((id) => !known.includes(id))
      assert(known.includes(alice.id) && known.includes(bob.id) && unknown.length === 2, `${known}`)
      assert.equal(late.room(roomId).getJoinedMemberCount(), 8)
    })
    await step('all members come when they are asked for', async () => {
      await late.room(roomId).loadMembersIfNeeded()
      assert.equal(late.room(roomId).getJoinedMembers().length, 8)
    })
    await step('scrolling back reaches the first event, without a gap or a double', async () => {
      const room = late.room(roomId)
      let before: number
      do {
        before = room.getLiveTimeline().getEvents().length
        await late.client.scrollback(room, 7)
      } while (room.oldState.paginationToken !== null && room.getLiveTimeline().getEvents().length > before)
      assert.deepEqual(bodies(room), texts(0, 30))
      const events = room.getLiveTimeline().getEvents()
      assert.equal(events[0]?.getType(), 'm.room.create')
      assert.equal(new Set(events.map((event) => event.getId())).size, events.length)
    })
    await step('after a long absence the gap is closed by paginating', async () => {
      late.stop()
      await late.until('its end', () => late.client.getSyncState() === SyncState.Stopped || late.client.getSyncState() === null)
      for (const text of texts(30, 55)) await alice.says(roomId, text)
      const reset = new Promise((resolve) => late.client.once(RoomEvent.TimelineReset, resolve))
      await late.start({ lazyLoadMembers: true })
      await late.until('the newest message', () => bodies(late.room(roomId)).includes('message 54'))
      await reset
      const timeline = late.room(roomId).getLiveTimeline()
      assert(!bodies(late.room(roomId)).includes('message 30'))
      while (!bodies(late.room(roomId)).includes('message 29')) {
        assert.equal(await late.client.paginateEventTimeline(timeline, { backwards: true, limit: 10 }), true)
      }
      assert.deepEqual(bodies(late.room(roomId)).slice(-26), texts(29, 55))
    })
    await step('messages are filtered by type on the way', async () => {
      const { chunk } = await bob.client.createMessagesRequest(roomId, null, 5, Direction.Backward)
      assert.deepEqual(
        chunk.map((event) => event.content.body),
        texts(50, 55).reverse(),
      )
    })
    await step('the new device had nothing to complain about', () => assert.deepEqual(late.complaints, []))
    await late.client.logout(true)
  }
}

export function sessions(cast: Cast): Part {
  return async (step) => {
    const { alice, bob, roomId, baseUrl } = cast
    const deviceId = bob.client.getDeviceId() as string
    await step('bob logs out, and his token is worth nothing', async () => {
      const loggedOut = new Person(baseUrl, { user_id: bob.id, access_token: bob.client.getAccessToken() as string })
      await bob.client.logout(true)
      await refused(loggedOut.client.whoami(), 401, 'M_UNKNOWN_TOKEN')
    })
    await step('a wrong password is refused', async () => {
      const request = { type: 'm.login.password' as const, identifier: { type: 'm.id.user' as const, user: 'bob' }, password: 'wrong' }
      await refused(new Person(baseUrl).client.loginRequest(request), 403, 'M_FORBIDDEN')
    })
    cast.bob = await step('bob logs in with his password on the same device, and resumes', async () => {
      const missed = await alice.says(roomId, 'While you were away')
      const back = await logIn(baseUrl, 'bob', deviceId)
      assert.equal(back.client.getDeviceId(), deviceId)
      await back.start()
      const room = back.room(roomId)
      assert.equal(room.getMyMembership(), 'join')
      assert.equal(room.name, 'Bob’s')
      assert.equal((await back.sees(roomId, missed)).getContent().body, 'While you were away')
      assert.equal(room.getMember(alice.id)?.rawDisplayName, 'Alice Liddell')
      return back
    })
    const again = cast.bob
    await step('they talk on', async () => {
      await alice.sees(roomId, await again.says(roomId, 'Back again'))
      await again.sees(roomId, await alice.says(roomId, 'Welcome back'))
    })
    const second = await step('alice has two devices, and names one', async () => {
      const other = await logIn(baseUrl, alice.id)
      await other.client.setDeviceDetails(other.client.getDeviceId() as string, { display_name: 'Kitchen' })
      const { devices } = await alice.client.getDevices()
      const names = Object.fromEntries(devices.map((device) => [device.device_id, device.display_name]))
      assert.equal(devices.length, 2)
      assert.equal(names[other.client.getDeviceId() as string], 'Kitchen')
      return other.start()
    })
    await step('she deletes it with her password, and it is logged out', async () => {
      const gone = second.client.getDeviceId() as string
      const loggedOut = second.until('the end of the session', () => second.client.getSyncState() === SyncState.Error)
      const asked = await refused(alice.client.deleteDevice(gone), 401, undefined as unknown as string)
      const { session } = asked.data as { session: string }
      const identifier = { type: 'm.id.user' as const, user: alice.id }
      await refused(
        alice.client.deleteDevice(gone, { type: 'm.login.password', identifier, password: 'wrong', session }),
        401,
        'M_FORBIDDEN',
      )
      await alice.client.deleteDevice(gone, { type: 'm.login.password', identifier, password: PASSWORD, session })
      assert.equal((await alice.client.getDevices()).devices.length, 1)
      await loggedOut
      await refused(second.client.whoami(), 401, 'M_UNKNOWN_TOKEN')
      second.stop()
    })
    await step('bob leaves and forgets the room, alice sees it', async () => {
      await again.client.leave(roomId)
      await alice.seesMembership(roomId, 'leave', again)
      await again.until('his own leave', () => again.client.getRoom(roomId)?.getMyMembership() === 'leave')
      const forgotten = new Promise((resolve) => again.client.once(ClientEvent.DeleteRoom, resolve))
      await again.client.forget(roomId)
      await forgotten
      assert(!(await again.client.getJoinedRooms()).joined_rooms.includes(roomId))
    })
    await step('no client had anything to complain about', () => {
      assert.deepEqual([...alice.complaints, ...again.complaints], [])
    })
    await step('logging out everywhere ends every session', async () => {
      const token = { user_id: alice.id, access_token: alice.client.getAccessToken() as string }
      await alice.client.logout(true)
      await again.client.logout(true)
      await refused(new Person(baseUrl, token).client.whoami(), 401, 'M_UNKNOWN_TOKEN')
    })
  }
}
