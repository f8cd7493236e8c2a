import { createHmac } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { registry } from '@weft/api'
import { type Answer, PASSWORD, type TestClient } from '@weft/testkit'
import { clusterSuite } from './cluster.ts'
import { unfencedWrites, watchWrites } from './fenced-writes.ts'

const enc = encodeURIComponent
const v3 = '/_matrix/client/v3'

clusterSuite('fencing', { layout: 'split', writers: 2 }, (cluster) => {
  test('every write of the writer holds its epoch, whatever endpoint it comes from (R40)', async () => {
    await watchWrites(cluster().database.db)
    const done = new Set<string>()
    const alice = await cluster().register('alice')
    const bob = await cluster().register('bob')
    done.add('client.register')
    const room = await alice.createRoom({ preset: 'public_chat', room_alias_name: 'fenced' })
    done.add('client.createRoom')
    const at = `${v3}/rooms/${enc(room)}`
    const user = (client: TestClient) => `${v3}/user/${enc(client.userId)}`

    const step = async (id: string, client: TestClient, method: string, path: string, body: unknown = {}): Promise<Answer['body']> => {
      const answer = await client.attempt(method, path, body)
      expect({ id, ...answer }).toMatchObject({ id, status: 200 })
      done.add(id)
      return answer.body
    }

    await step('client.joinRoom', bob, 'POST', `${v3}/join/${enc(`#fenced:${cluster().serverName}`)}`)
    const sent = await step('client.sendMessage', alice, 'PUT', `${at}/send/m.room.message/1`, { body: 'a' })
    const eventId = String(sent.event_id)
    await step('client.setRoomStateWithKey', alice, 'PUT', `${at}/state/m.room.name/`, { name: 'Loom' })
    await step('client.postReceipt', bob, 'POST', `${at}/receipt/m.read/${enc(eventId)}`)
    await step('client.setReadMarker', bob, 'POST', `${at}/read_markers`, { 'm.fully_read': eventId })
    await step('client.setTyping', bob, 'PUT', `${at}/typing/${enc(bob.userId)}`, { typing: true, timeout: 1000 })
    await step('client.redactEvent', alice, 'PUT', `${at}/redact/${enc(eventId)}/2`)
    await step('client.kick', alice, 'POST', `${at}/kick`, { user_id: bob.userId })
    await step('client.ban', alice, 'POST', `${at}/ban`, { user_id: bob.userId })
    await step('client.unban', alice, 'POST', `${at}/unban`, { user_id: bob.userId })
    await step('client.inviteUser', alice, 'POST', `${at}/invite`, { user_id: bob.userId })
    await step('client.joinRoomById', bob, 'POST', `${at}/join`)
    await step('client.leaveRoom', bob, 'POST', `${at}/leave`)
    await step('client.forgetRoom', bob, 'POST', `${at}/forget`)
    await step('client.setRoomStateWithKey', alice, 'PUT', `${at}/state/m.room.join_rules/`, { join_rule: 'knock' })
    await step('client.knockRoom', bob, 'POST', `${v3}/knock/${enc(room)}`)
    await step('client.setRoomAlias', alice, 'PUT', `${v3}/directory/room/${enc(`#again:${cluster().serverName}`)}`, { room_id: room })
    await step('client.deleteRoomAlias', alice, 'DELETE', `${v3}/directory/room/${enc(`#again:${cluster().serverName}`)}`)
    await step('client.setRoomVisibilityOnDirectory', alice, 'PUT', `${v3}/directory/list/room/${enc(room)}`, { visibility: 'public' })
    await step('client.setProfileField', alice, 'PUT', `${v3}/profile/${enc(alice.userId)}/displayname`, { displayname: 'Alice' })
    await step('client.deleteProfileField', alice, 'DELETE', `${v3}/profile/${enc(alice.userId)}/displayname`)
    await step('client.setAccountData', alice, 'PUT', `${user(alice)}/account_data/org.weft.test`, { a: 1 })
    await step('client.setAccountDataPerRoom', alice, 'PUT', `${user(alice)}/rooms/${enc(room)}/account_data/org.weft.test`, { a: 1 })
    await step('client.setRoomTag', alice, 'PUT', `${user(alice)}/rooms/${enc(room)}/tags/u.loom`)
    await step('client.deleteRoomTag', alice, 'DELETE', `${user(alice)}/rooms/${enc(room)}/tags/u.loom`)
    await step('client.defineFilter', alice, 'POST', `${user(alice)}/filter`, { room: { timeline: { limit: 1 } } })
    const messages = { [bob.userId]: { '*': { a: 1 } } }
    await step('client.sendToDevice', alice, 'PUT', `${v3}/sendToDevice/org.weft.test/1`, { messages })
    await step('client.upgradeRoom', alice, 'POST', `${at}/upgrade`, { new_version: '11' })

    const identifier = { type: 'm.id.user', user: 'alice' }
    const login = { type: 'm.login.password', identifier, password: PASSWORD }
    for (const device of ['ONE', 'TWO', 'THREE']) {
      await step('client.login', alice, 'POST', `${v3}/login`, { ...login, device_id: device })
    }
    const proven = async (method: string, path: string, body: object) => {
      const { session } = (await alice.attempt(method, path, body)).body
      return { ...body, auth: { type: 'm.login.password', identifier, password: PASSWORD, session } }
    }
    await step('client.updateDevice', alice, 'PUT', `${v3}/devices/ONE`, { display_name: 'one' })
    await step('client.deleteDevice', alice, 'DELETE', `${v3}/devices/ONE`, await proven('DELETE', `${v3}/devices/ONE`, {}))
    const devices = await proven('POST', `${v3}/delete_devices`, { devices: ['TWO'] })
    await step('client.deleteDevices', alice, 'POST', `${v3}/delete_devices`, devices)
    await step('client.logout', await cluster().login('alice', { deviceId: 'THREE' }), 'POST', `${v3}/logout`)

    const admin = '/_synapse/admin/v1'
    const { nonce } = (await cluster().call('GET', `${admin}/register`)).body
    const mac = createHmac('sha1', cluster().sharedSecret).update(`${nonce}\0carol\0${PASSWORD}\0admin`).digest('hex')
    await step('admin.register', alice, 'POST', `${admin}/register`, { nonce, username: 'carol', password: PASSWORD, mac, admin: true })
    const carol = await cluster().login('carol')
    await step('admin.createRegistrationToken', carol, 'POST', `${admin}/registration_tokens/new`, { token: 'abc' })
    await step('client.logoutAll', carol, 'POST', `${v3}/logout/all`)

    // A profile reaches its rooms by a job, which the writer does while it is the writer, too.
    const follower = await cluster().follow(bob)
    const club = await bob.createRoom()
    await step('client.setProfileField', bob, 'PUT', `${v3}/profile/${enc(bob.userId)}/displayname`, { displayname: 'Bob' })
    await follower.waitFor('his new name', () => follower.room(club).stateEvent('m.room.member', bob.userId)?.content.displayname === 'Bob')
    await follower.stop()

    // What is left in memory is written when a process ends.
    const before = cluster().writer()
    await before.restart()
    await cluster().call('GET', '/_matrix/client/versions')

    const writes = registry.endpoints.filter(({ servedBy, method }) => (servedBy as string[]).includes('writer') && method !== 'GET')
    expect(writes.map(({ id }) => id).filter((id) => !done.has(id))).toEqual([])
    const unfenced = await unfencedWrites(cluster().database.db)
    // When a device was last seen only ever moves forwards, whoever writes it; what a device has fetched is deleted by who gave it.
    const allowed = unfenced.filter(({ table_name, columns, application_name }) =>
      table_name === 'devices'
        ? columns?.every((column) => ['ip', 'last_seen', 'user_agent'].includes(column))
        : /^weft sync-/.test(application_name),
    )
    expect(unfenced.filter((write) => !allowed.includes(write))).toEqual([])
    expect(unfenced.map(({ table_name }) => table_name)).toContain('devices')
  }, 120_000)
})
