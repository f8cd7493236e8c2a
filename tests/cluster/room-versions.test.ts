import { beforeAll, describe, expect, test } from '@jest/globals'
import type { ClientEvent, Json, TestClient } from '@weft/testkit'
import { clusterSuite } from './cluster.ts'

const v3 = '/_matrix/client/v3'
const enc = encodeURIComponent

// What clients are answered in rooms of each kind of version, by status and errcode.
clusterSuite('rooms by their versions', { layout: 'single' }, (cluster) => {
  let alice: TestClient
  let bob: TestClient
  let carol: TestClient
  let dave: TestClient

  beforeAll(async () => {
    alice = await cluster().register('alice')
    bob = await cluster().register('bob')
    carol = await cluster().register('carol')
    dave = await cluster().register('dave')
  })

  const answer = async (client: TestClient, method: string, path: string, body?: Json): Promise<string> => {
    const { status, body: said } = await client.attempt(method, `${v3}${path}`, body)
    return status === 200 ? 'ok' : `${status} ${said.errcode}`
  }
  const post = (client: TestClient, path: string, body: Json = {}) => answer(client, 'POST', path, body)
  const put = (client: TestClient, path: string, body: Json) => answer(client, 'PUT', path, body)
  const inRoom = (room: string, path: string) => `/rooms/${enc(room)}/${path}`
  const setState = (client: TestClient, room: string, type: string, content: Json, key = '') =>
    put(client, inRoom(room, `state/${type}/${enc(key)}`), content)
  const rule = (join_rule: string, allow?: string) => [
    {
      type: 'm.room.join_rules',
      content: { join_rule, ...(allow !== undefined && { allow: [{ type: 'm.room_membership', room_id: allow }] }) },
    },
  ]
  const forbidden = '403 M_FORBIDDEN'
  const notFound = '404 M_NOT_FOUND'

  describe.each(['1', '3', '6', '9', '10', '11', '12'])('version %s', (room_version) => {
    const version = Number(room_version)
    const make = (client: TestClient, options: Json = {}) => client.createRoom({ room_version, ...options })
    const open = async () => {
      const room = await make(alice, { preset: 'public_chat' })
      await bob.join(room)
      return room
    }

    test(`joining by the join rules`, async () => {
      const may = (since: number, otherwise = forbidden) => (version >= since ? 'ok' : otherwise)
      const door = await make(alice, { initial_state: rule('knock') })
      expect(await post(carol, `/knock/${enc(door)}`, { reason: 'please' })).toBe(may(7))
      expect(await post(carol, `/knock/${enc(door)}`)).toBe(may(7))
      expect(await post(carol, `/join/${enc(door)}`)).toBe(forbidden)
      if (version >= 7) {
        expect(await alice.state(door, 'm.room.member', carol.userId)).toMatchObject({ membership: 'knock', reason: 'please' })
        expect(await post(carol, inRoom(door, 'leave'))).toBe('ok')
      }
      const club = await open()
      expect(await post(carol, `/knock/${enc(club)}`)).toBe(forbidden)

      const restricted = await make(alice, { initial_state: rule('restricted', club) })
      expect(await post(bob, `/join/${enc(restricted)}`)).toBe(may(8))
      expect(await post(carol, `/join/${enc(restricted)}`)).toBe(forbidden)
      if (version >= 8) {
        expect(await bob.state(restricted, 'm.room.member', bob.userId)).toMatchObject({ join_authorised_via_users_server: alice.userId })
        expect(await setState(bob, restricted, 'm.room.member', { membership: 'join', displayname: 'Bob!' }, bob.userId)).toBe('ok')
      }
      const unknown = await make(alice, { initial_state: rule('restricted', '!nowhere:elsewhere.org') })
      expect(await post(bob, `/join/${enc(unknown)}`)).toBe(may(8, forbidden) === 'ok' ? '400 M_UNABLE_TO_AUTHORISE_JOIN' : forbidden)
      const left = await make(alice, {
        ...{ initial_state: rule('restricted', club), invite: [dave.userId] },
        power_level_content_override: { invite: 100 },
      })
      await post(dave, `/join/${enc(left)}`)
      await alice.leave(left)
      expect(await post(bob, `/join/${enc(left)}`)).toBe(version >= 8 ? '400 M_UNABLE_TO_GRANT_JOIN' : forbidden)

      const both = await make(alice, { initial_state: rule('knock_restricted', club) })
      expect(await post(bob, `/join/${enc(both)}`)).toBe(may(10))
      expect(await post(carol, `/join/${enc(both)}`)).toBe(forbidden)
      expect(await post(carol, `/knock/${enc(both)}`)).toBe(may(10))
      expect(await post(alice, inRoom(both, 'ban'), { user_id: carol.userId, reason: 'no' })).toBe('ok')
      expect(await post(carol, `/knock/${enc(both)}`)).toBe(forbidden)
      expect(await post(bob, `/join/${enc('!nowhere:elsewhere.org')}`)).toBe(notFound)
    })

    test(`inviting, removing, leaving and forgetting`, async () => {
      const room = await open()
      const on = (client: TestClient, path: string, user?: TestClient) =>
        post(client, inRoom(room, path), user === undefined ? {} : { user_id: user.userId, reason: 'so' })
      expect(await on(alice, 'unban', carol)).toBe('403 M_BAD_STATE')
      expect(await on(bob, 'unban', carol)).toBe(forbidden)
      expect(await on(alice, 'kick', carol)).toBe(forbidden)
      expect(await on(bob, 'kick', alice)).toBe(forbidden)
      expect(await on(alice, 'ban', carol)).toBe('ok')
      expect(await on(alice, 'invite', carol)).toBe(forbidden)
      expect(await on(alice, 'unban', carol)).toBe('ok')
      expect(await alice.state(room, 'm.room.member', carol.userId)).toEqual({ membership: 'leave', reason: 'so' })
      expect(await on(alice, 'invite', carol)).toBe('ok')
      expect(await on(carol, 'leave')).toBe('ok')
      expect(await on(alice, 'invite', bob)).toBe(forbidden)
      expect(await post(alice, inRoom(room, 'invite'), { user_id: 'nobody' })).toBe('400 M_INVALID_PARAM')
      expect(await post(alice, inRoom(room, 'invite'), {})).toBe('400 M_MISSING_PARAM')
      const email = { medium: 'email', address: 'eve@elsewhere.org', id_server: 'elsewhere.org', id_access_token: 'x' }
      expect(await post(alice, inRoom(room, 'invite'), email)).toBe('403 M_THREEPID_DENIED')
      expect(await on(bob, 'forget')).toBe('400 M_UNKNOWN')
      expect(await on(bob, 'leave')).toBe('ok')
      expect(await on(bob, 'leave')).toBe('ok')
      expect(await answer(bob, 'GET', inRoom(room, 'state'))).toBe('ok')
      expect(await answer(bob, 'GET', inRoom(room, 'joined_members'))).toBe(forbidden)
      expect(await on(bob, 'forget')).toBe('ok')
      expect(await answer(bob, 'GET', inRoom(room, 'state'))).toBe(forbidden)
      expect(await on(dave, 'leave')).toBe(forbidden)
      expect(await on(dave, 'forget')).toBe(notFound)
    })

    test(`state and its content`, async () => {
      const room = await open()
      const levels = await alice.state(room, 'm.room.power_levels')
      const level = (content: Json, client = alice) => setState(client, room, 'm.room.power_levels', { ...levels, ...content })
      const strict = version >= 10 ? '400 M_BAD_JSON' : 'ok'
      expect(await level({ users_default: '5' })).toBe(strict)
      expect(await level({ events: { 'x.y': 'z' } })).toBe(strict)
      expect(await level({ ban: 1.5 })).toBe('400 M_BAD_JSON')
      expect(await level({ users: [] })).toBe('400 M_BAD_JSON')
      expect(await level({ users: { ...(levels.users as Json), nobody: 5 } })).toBe('400 M_BAD_JSON')
      if (version === 12) expect(await level({ users: { [alice.userId]: 100 } })).toBe('400 M_BAD_JSON')
      else expect(await level({ users: { ...(levels.users as Json), [bob.userId]: 101 } })).toBe(forbidden)
      expect(await level({}, bob)).toBe(forbidden)
      expect(await level({ users: { ...(levels.users as Json), [bob.userId]: 50 } })).toBe('ok')

      expect(await setState(alice, room, 'x.y', { body: 'x'.repeat(66_000) })).toBe('413 M_TOO_LARGE')
      expect(await setState(alice, room, 'x.y', {}, 'k'.repeat(256))).toBe('413 M_TOO_LARGE')
      expect(await setState(alice, room, 'x.y', { n: 1.5 })).toBe('400 M_BAD_JSON')
      expect(await setState(alice, room, 'x.y', {}, bob.userId)).toBe(forbidden)
      expect(await setState(alice, room, 'x.y', {}, alice.userId)).toBe('ok')
      expect(await setState(alice, room, 'm.room.create', {})).toBe(forbidden)
      expect(await setState(alice, room, 'm.room.member', { membership: 'join' }, carol.userId)).toBe(forbidden)
      expect(await setState(alice, room, 'm.room.member', {}, carol.userId)).toBe('400 M_BAD_JSON')
      expect(await setState(alice, room, 'm.room.member', { membership: 'invite' }, 'nobody')).toBe('400 M_BAD_JSON')
      expect(await setState(dave, room, 'm.room.topic', { topic: 'x' })).toBe(forbidden)
      expect(await answer(alice, 'GET', inRoom(room, 'state/x.z'))).toBe(notFound)
      expect(await answer(dave, 'GET', inRoom(room, 'state/m.room.create'))).toBe(forbidden)
      const first = await alice.setState(room, 'm.room.topic', '', { topic: 'a' })
      expect(await alice.setState(room, 'm.room.topic', '', { topic: 'a' })).toBe(first)
      expect(await alice.get(inRoom(room, 'state/m.room.topic?format=event'))).toMatchObject({ event_id: first, room_id: room })
    })

    test(`aliases and the room directory`, async () => {
      const { serverName } = cluster()
      const room = await open()
      const alias = `#loom${version}:${serverName}`
      const other = `#other${version}:${serverName}`
      const at = (name: string) => `/directory/room/${enc(name)}`
      expect(await put(alice, at(alias), { room_id: room })).toBe('ok')
      expect(await put(alice, at(alias), { room_id: room })).toBe('409 M_UNKNOWN')
      expect(await put(carol, at(other), { room_id: room })).toBe(forbidden)
      expect(await put(alice, at('#x:elsewhere.org'), { room_id: room })).toBe('400 M_INVALID_PARAM')
      expect(await put(alice, at('loom'), { room_id: room })).toBe('400 M_INVALID_PARAM')
      expect(await put(alice, at(other), { room_id: '!nowhere:elsewhere.org' })).toBe(notFound)
      expect(await put(alice, at(other), { room_id: await make(alice) })).toBe('ok')

      const canonical = (content: Json, client = alice) => setState(client, room, 'm.room.canonical_alias', content)
      expect(await canonical({ alias, alt_aliases: [alias] })).toBe('ok')
      for (const bad of [{ alias: '#nowhere:x' }, { alias: other }, { alias, alt_aliases: [other] }]) {
        expect(await canonical(bad)).toBe('400 M_BAD_ALIAS')
      }
      for (const bad of [{ alias: 'loom' }, { alias: 5 }, { alt_aliases: 'x' }, { alias, alt_aliases: [5] }]) {
        expect(await canonical(bad)).toBe('400 M_INVALID_PARAM')
      }
      expect(await canonical({ alias }, bob)).toBe(forbidden)
      expect(await answer(bob, 'DELETE', at(alias))).toBe(forbidden)
      expect(await answer(alice, 'DELETE', at(alias))).toBe('ok')
      expect(await answer(alice, 'DELETE', at(alias))).toBe(notFound)
      expect(await alice.state(room, 'm.room.canonical_alias')).toEqual({ alt_aliases: [] })

      const listing = `/directory/list/room/${enc(room)}`
      expect(await put(bob, listing, { visibility: 'public' })).toBe(forbidden)
      expect(await put(alice, listing, { visibility: 'odd' })).toBe('400 M_INVALID_PARAM')
      expect(await put(alice, listing, { visibility: 'public' })).toBe('ok')
      expect(await bob.get(listing)).toEqual({ visibility: 'public' })
      expect(await answer(bob, 'GET', `/directory/list/room/${enc('!nowhere:x')}`)).toBe(notFound)
    })

    test(`members of a moment`, async () => {
      const room = await make(alice, { preset: 'public_chat' })
      await cluster().settle()
      const before = (await alice.sync()).next_batch
      await bob.join(room)
      await carol.join(room)
      await carol.leave(room)
      await alice.invite(room, dave.userId)
      await cluster().settle()
      const members = async (query: string, client = alice) => {
        const { chunk } = await client.get<{ chunk: ClientEvent[] }>(inRoom(room, `members?${query}`))
        return Object.fromEntries(chunk.map((event) => [event.state_key?.slice(1, 4), event.content.membership]))
      }
      const all = { ali: 'join', bob: 'join', car: 'leave', dav: 'invite' }
      expect(await members('')).toEqual(all)
      expect(await members(`at=${enc(before)}`)).toEqual({ ali: 'join' })
      expect(await members('membership=join')).toEqual({ ali: 'join', bob: 'join' })
      expect(await members('not_membership=join')).toEqual({ car: 'leave', dav: 'invite' })
      expect(await members('membership=join&not_membership=leave')).toEqual({ ali: 'join', bob: 'join', dav: 'invite' })
      expect(await members('', carol)).toEqual({ ali: 'join', bob: 'join', car: 'leave' })
      expect(await answer(dave, 'GET', inRoom(room, 'members'))).toBe(forbidden)
      expect(await answer(alice, 'GET', inRoom(room, 'members?at=nonsense'))).toBe('400 M_INVALID_PARAM')
      expect(Object.keys((await bob.get<{ joined: Json }>(inRoom(room, 'joined_members'))).joined)).toHaveLength(2)
    })

    test(`annotations and redactions`, async () => {
      const room = await open()
      const root = await alice.message(room, 'root')
      const send = (client: TestClient, type: string, content: Json) =>
        put(client, inRoom(room, `send/${type}/${client.newTxnId()}`), content)
      const reaction = { 'm.relates_to': { rel_type: 'm.annotation', event_id: root, key: '👍' } }
      const mine = await bob.message(room, reaction, { type: 'm.reaction' })
      expect(await send(bob, 'm.reaction', reaction)).toBe('400 M_DUPLICATE_ANNOTATION')
      expect(await send(alice, 'm.reaction', reaction)).toBe('ok')
      await bob.redact(room, mine)
      expect(await send(bob, 'm.reaction', reaction)).toBe('ok')
      const redact = (client: TestClient, id: string) => put(client, inRoom(room, `redact/${enc(id)}/${client.newTxnId()}`), {})
      expect(await redact(bob, root)).toBe(forbidden)
      expect(await redact(bob, '$nowhere')).toBe(notFound)
      expect(await send(alice, 'm.room.redaction', { redacts: root, reason: 'x' })).toBe('ok')
      await cluster().settle()
      const shown = await bob.event(room, root)
      expect(shown.content).toEqual({})
      // Clients look for it where their room versions have it, and get both.
      const because = shown.unsigned?.redacted_because as ClientEvent | undefined
      expect(because).toMatchObject({ redacts: root, content: { redacts: root, reason: 'x' } })
      const inHistory = (await bob.history(room)).find((event) => event.event_id === because?.event_id)
      expect(inHistory).toMatchObject({ redacts: root, content: { redacts: root } })
      expect(await send(alice, 'm.room.redaction', { reason: 'x' })).toBe('400 M_BAD_JSON')
      expect(await send(dave, 'm.room.message', { body: 'x' })).toBe(forbidden)
    })

    test(`an upgrade`, async () => {
      const room = await open()
      const upgrade = (client: TestClient, body: Json) => post(client, inRoom(room, 'upgrade'), body)
      expect(await upgrade(bob, { new_version: '12' })).toBe(forbidden)
      expect(await upgrade(alice, {})).toBe('400 M_MISSING_PARAM')
      expect(await upgrade(alice, { new_version: 'odd' })).toBe('400 M_UNSUPPORTED_ROOM_VERSION')
      expect(await upgrade(alice, { new_version: '12', additional_creators: ['x'] })).toBe('400 M_INVALID_PARAM')
      expect(await upgrade(alice, { new_version: '12', additional_creators: [bob.userId] })).toBe('ok')
      const { replacement_room } = await alice.state(room, 'm.room.tombstone')
      const create = await alice.state(String(replacement_room), 'm.room.create')
      expect(create).toMatchObject({ room_version: '12', additional_creators: [bob.userId], predecessor: { room_id: room } })
      await bob.join(String(replacement_room))
      // A creator by the upgrade may do what creators may.
      expect(await setState(bob, String(replacement_room), 'm.room.tombstone', { body: 'x', replacement_room: room })).toBe('ok')
    })
  })

  test('what a new room cannot be', async () => {
    const create = (body: Json) => post(alice, '/createRoom', body)
    expect(await create({ room_version: 'odd' })).toBe('400 M_UNSUPPORTED_ROOM_VERSION')
    expect(await create({ room_version: 12 })).toBe('400 M_BAD_JSON')
    expect(await create({ preset: 'odd' })).toBe('400 M_INVALID_PARAM')
    for (const room_alias_name of ['', 'a:b', 'a b', 'x'.repeat(250)]) expect(await create({ room_alias_name })).toBe('400 M_INVALID_PARAM')
    const initial = (type: string, content: Json) => create({ initial_state: [{ type, state_key: '', content }] })
    expect(await initial('m.room.member', { membership: 'join' })).toBe('400 M_INVALID_ROOM_STATE')
    expect(await initial('m.room.canonical_alias', { alias: '#nowhere:x' })).toBe('400 M_BAD_ALIAS')
    expect(await create({ room_version: '12', power_level_content_override: { users: { [alice.userId]: 1 } } })).toBe('400 M_INVALID_PARAM')
    expect(await create({ room_version: '12', creation_content: { additional_creators: 'x' } })).toBe('400 M_INVALID_PARAM')
    const { capabilities } = await alice.get<{ capabilities: Json }>('/capabilities')
    const available = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [String(i + 1), 'stable']))
    expect(capabilities['m.room_versions']).toEqual({ default: '12', available })
    expect(capabilities['m.change_password']).toEqual({ enabled: expect.any(Boolean) })
  })
})
