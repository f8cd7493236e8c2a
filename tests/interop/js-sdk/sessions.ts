import assert from 'node:assert/strict'
import { ClientEvent, SyncState } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { PASSWORD, Person, refused } from './person.ts'

/** A session of a user who has registered before: a new device, or one that is known. */
export async function logIn(baseUrl: string, user: string, deviceId?: string): Promise<Person> {
  const response = await new Person(baseUrl).client.loginRequest({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user },
    password: PASSWORD,
    initial_device_display_name: 'Interop',
    device_id: deviceId,
  })
  return new Person(baseUrl, response)
}

/** Logging in and out, devices, and the end of it all. */
export function sessions(): Part<Cast> {
  let kitchen: Person
  return {
    async 'a wrong password is refused'({ baseUrl }) {
      const request = { type: 'm.login.password' as const, identifier: { type: 'm.id.user' as const, user: 'bob' }, password: 'wrong' }
      await refused(new Person(baseUrl).client.loginRequest(request), 403, 'M_FORBIDDEN')
    },
    async 'bob logs out, and his token is worth nothing'({ bob }) {
      const loggedOut = bob.again({ disk: false })
      await bob.logOut()
      await refused(loggedOut.client.whoami(), 401, 'M_UNKNOWN_TOKEN')
      assert.deepEqual(bob.complaints, [])
    },
    async 'bob logs in with his password on the same device, and finds all as it was'(cast) {
      const { alice, roomId } = cast
      const deviceId = cast.bob.client.getDeviceId() as string
      const missed = await alice.says(roomId, 'While you were away')
      const back = await logIn(cast.baseUrl, 'bob', deviceId)
      assert.equal(back.client.getDeviceId(), deviceId)
      await back.start()
      const room = back.room(roomId)
      assert.equal(room.getMyMembership(), 'join')
      assert.equal(room.name, 'Bob’s')
      assert.equal((await back.sees(roomId, missed)).getContent().body, 'While you were away')
      assert.equal(room.getMember(alice.id)?.rawDisplayName, 'Alice Liddell')
      cast.bob = back
    },
    async 'they talk on'({ alice, bob, roomId }) {
      await alice.sees(roomId, await bob.says(roomId, 'Back again'))
      await bob.sees(roomId, await alice.says(roomId, 'Welcome back'))
    },
    async 'alice has two devices, and names one'({ alice, baseUrl }) {
      kitchen = await logIn(baseUrl, alice.id)
      const deviceId = kitchen.client.getDeviceId() as string
      await kitchen.client.setDeviceDetails(deviceId, { display_name: 'Kitchen' })
      const { devices } = await alice.client.getDevices()
      assert.deepEqual(new Set(devices.map((device) => device.device_id)), new Set([alice.client.getDeviceId(), deviceId]))
      assert.equal(devices.find((device) => device.device_id === deviceId)?.display_name, 'Kitchen')
      await kitchen.start()
    },
    async 'she deletes it with her password, and it is logged out'({ alice }) {
      const gone = kitchen.client.getDeviceId() as string
      const asked = await refused(alice.client.deleteDevice(gone), 401, undefined)
      const { session } = asked.data as { session: string }
      const auth = { type: 'm.login.password', identifier: { type: 'm.id.user' as const, user: alice.id }, session }
      await refused(alice.client.deleteDevice(gone, { ...auth, password: 'wrong' }), 401, 'M_FORBIDDEN')
      await alice.client.deleteDevice(gone, { ...auth, password: PASSWORD })
      assert.equal((await alice.client.getDevices()).devices.length, 1)
      await kitchen.until('the end of the session', () => kitchen.client.getSyncState() === SyncState.Error)
      await refused(kitchen.client.whoami(), 401, 'M_UNKNOWN_TOKEN')
      kitchen.stop()
    },
    async 'bob leaves and forgets the room, alice sees it'({ alice, bob, roomId }) {
      await bob.client.leave(roomId)
      await alice.seesMembership(roomId, 'leave', bob)
      await bob.until('his own leave', () => bob.client.getRoom(roomId)?.getMyMembership() === 'leave')
      const forgotten = new Promise((resolve) => bob.client.once(ClientEvent.DeleteRoom, resolve))
      await bob.client.forget(roomId)
      await forgotten
      assert(!(await bob.client.getJoinedRooms()).joined_rooms.includes(roomId))
    },
    async 'logging out of all devices ends every session'({ alice, baseUrl }) {
      const other = await logIn(baseUrl, alice.id)
      await other.start()
      const token = alice.again({ disk: false })
      alice.stop()
      await other.client.http.authedRequest('POST' as never, '/logout/all', undefined, {})
      await other.until('the end of the session', () => other.client.getSyncState() === SyncState.Error)
      for (const one of [token, other]) await refused(one.client.whoami(), 401, 'M_UNKNOWN_TOKEN')
      other.stop()
    },
    async 'no client had anything to complain about'({ alice, bob }) {
      await bob.logOut()
      assert.deepEqual([...alice.complaints, ...bob.complaints], [])
    },
  }
}
