import { beforeAll, expect, test } from '@jest/globals'
import type { ClientEvent, Json, TestClient } from '@weft/testkit'
import { type ClusterOptions, clusterSuite } from './cluster.ts'

const enc = encodeURIComponent
const v1 = '/_matrix/client/v1'
const v3 = '/_matrix/client/v3'
const relate = (rel_type: string, event_id: string, extra: Json = {}) => ({ 'm.relates_to': { rel_type, event_id, ...extra } })

/** What clients do with rooms besides talking in them, over whatever layout. */
export function rooms(name: string, options: ClusterOptions): void {
  clusterSuite(name, options, (cluster) => {
    let alice: TestClient
    let bob: TestClient

    beforeAll(async () => {
      alice = await cluster().register('alice')
      bob = await cluster().register('bob')
    })

    /** Asks until the answer is right, since what follows the writes is not waited for by them. */
    async function eventually<T>(ask: () => Promise<T>, right: (answer: T) => boolean): Promise<T> {
      const deadline = performance.now() + 30_000
      for (;;) {
        const answer = await ask()
        if (right(answer)) return answer
        if (performance.now() > deadline) throw new Error(`still ${JSON.stringify(answer)}`)
        await cluster().settle()
      }
    }

    test.each(Array.from({ length: 12 }, (_, i) => String(i + 1)))(
      'rooms of version %s are made, joined, talked in and read',
      async (room_version) => {
        const room = await alice.createRoom({ room_version, preset: 'public_chat', name: 'Loom' })
        await bob.join(room)
        const said = await bob.message(room, 'hello')
        const gone = await bob.message(room, 'a secret')
        const redaction = await alice.redact(room, gone)
        await cluster().settle()
        expect((await alice.event(room, said)).content.body).toBe('hello')
        expect((await alice.event(room, gone)).unsigned?.redacted_because).toMatchObject({ event_id: redaction })
        const shown = (await alice.sync()).rooms?.join?.[room]
        expect(shown?.timeline?.events.map((event) => event.event_id)).toEqual(expect.arrayContaining([said, gone, redaction]))
        expect((await alice.state(room, 'm.room.create')).room_version).toBe(room_version)
      },
    )

    test('what cannot be made is refused by its name', async () => {
      const refused = async (body: Json) => {
        const { status, body: answer } = await alice.attempt('POST', `${v3}/createRoom`, body)
        return [status, answer.errcode]
      }
      await alice.createRoom({ room_alias_name: 'taken' })
      expect(await refused({ room_alias_name: 'taken' })).toEqual([400, 'M_ROOM_IN_USE'])
      expect(await refused({ room_version: 'x' })).toEqual([400, 'M_UNSUPPORTED_ROOM_VERSION'])
      expect(await refused({ room_version: '9', power_level_content_override: { users: {} }, name: 'x' })).toEqual([
        400,
        'M_INVALID_ROOM_STATE',
      ])
      expect(await refused({ topic: 'x'.repeat(66_000) })).toEqual([413, 'M_TOO_LARGE'])
      expect(await refused({ invite: ['@x:elsewhere'] })).toEqual([403, 'M_FORBIDDEN'])
    })

    test.each(['6', '12'])(
      'an invitation shows what room it is for, its create event too, room version %s (H7, H2)',
      async (room_version) => {
        const room = await alice.createRoom({ room_version, name: 'Weaving' })
        expect(room.includes(':')).toBe(room_version === '6')
        const since = (await bob.sync()).next_batch
        await alice.invite(room, bob.userId)
        const seen = await eventually(
          () => bob.sync({ since }),
          (answer) => JSON.stringify(answer).includes('invite_state'),
        )
        const { invite } = seen.rooms as unknown as { invite: Record<string, { invite_state: { events: ClientEvent[] } }> }
        expect(invite[room]?.invite_state.events).toEqual(
          expect.arrayContaining([
            expect.objectContaining({ type: 'm.room.create', state_key: '', content: expect.objectContaining({ room_version }) }),
            expect.objectContaining({ type: 'm.room.member', state_key: bob.userId }),
          ]),
        )
        // The id is the room's in paths and as an answer to joining, with a server to go by or without.
        expect(await bob.post(`/join/${enc(room)}?via=${cluster().serverName}`, {})).toEqual({ room_id: room })
        expect((await bob.get('/joined_rooms')).joined_rooms).toContain(room)
      },
    )

    test('a knock is seen by both sides, and leads in by an invitation', async () => {
      const initial_state = [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }]
      const room = await alice.createRoom({ name: 'Behind the door', room_alias_name: 'door', initial_state })
      const before = (await bob.sync()).next_batch
      expect(await bob.post(`/knock/${enc(`#door:${cluster().serverName}`)}`, { reason: 'please' })).toEqual({ room_id: room })
      const knocking = await eventually(
        () => bob.sync({ since: before }),
        (answer) => JSON.stringify(answer).includes('knock_state'),
      )
      const { knock } = knocking.rooms as unknown as { knock: Record<string, { knock_state: { events: ClientEvent[] } }> }
      expect(knock[room]?.knock_state.events.map((event) => event.type)).toEqual(
        expect.arrayContaining(['m.room.create', 'm.room.name', 'm.room.member', 'm.room.join_rules']),
      )
      const heard = await eventually(
        () => alice.get(`/rooms/${enc(room)}/members?membership=knock`),
        (answer) => (answer.chunk as unknown[]).length > 0,
      )
      expect(heard.chunk).toMatchObject([{ state_key: bob.userId, content: { membership: 'knock', reason: 'please' } }])
      await alice.invite(room, bob.userId)
      await bob.join(room)
      expect((await alice.attempt('POST', `${v3}/knock/${enc(room)}`, {})).status).toBe(403)
    })

    test('an upgrade leads people, aliases and settings to the new room', async () => {
      const alias = `#upgraded:${cluster().serverName}`
      const room = await alice.createRoom({ room_version: '10', preset: 'public_chat', room_alias_name: 'upgraded', visibility: 'public' })
      await bob.join(room)
      await bob.put(`/user/${enc(bob.userId)}/rooms/${enc(room)}/tags/u.work`, {})
      const since = (await bob.sync()).next_batch
      const upgraded = await alice.post(`/rooms/${enc(room)}/upgrade`, { new_version: '12' })
      const replacement = String(upgraded.replacement_room)
      expect(await alice.post(`/rooms/${enc(room)}/upgrade`, { new_version: '12' })).toEqual(upgraded)
      const seen = await eventually(
        () => bob.sync({ since }),
        (answer) => JSON.stringify(answer).includes('m.room.tombstone'),
      )
      const tombstone = seen.rooms?.join?.[room]?.timeline?.events.find((event) => event.type === 'm.room.tombstone')
      expect(tombstone?.content.replacement_room).toBe(replacement)
      expect((await alice.get(`/directory/room/${enc(alias)}`)).room_id).toBe(replacement)
      expect(await alice.get(`/directory/list/room/${enc(replacement)}`)).toEqual({ visibility: 'public' })
      await bob.join(replacement)
      expect(await bob.get(`/user/${enc(bob.userId)}/rooms/${enc(replacement)}/tags`)).toEqual({ tags: { 'u.work': {} } })
      await bob.message(replacement, 'here we are')
      expect((await bob.attempt('PUT', `${v3}/rooms/${enc(room)}/send/m.room.message/t`, { body: 'x' })).status).toBe(403)
    })

    test('reactions, edits and threads are kept apart and summed up', async () => {
      const room = await alice.createRoom({ preset: 'public_chat' })
      await bob.join(room)
      const root = await alice.message(room, 'root')
      const reaction = relate('m.annotation', root, { key: '👍' })
      await bob.message(room, reaction, { type: 'm.reaction' })
      const again = await bob.attempt('PUT', `${v3}/rooms/${enc(room)}/send/m.reaction/${bob.newTxnId()}`, reaction)
      expect([again.status, again.body.errcode]).toEqual([400, 'M_DUPLICATE_ANNOTATION'])
      const edit = await alice.message(room, { ...relate('m.replace', root), body: '* x', 'm.new_content': { body: 'x' } })
      const reply = await bob.message(room, { ...relate('m.thread', root), body: 'reply' })
      await cluster().settle()
      const expected = {
        'm.replace': { event_id: edit },
        'm.thread': { count: 1, current_user_participated: true, latest_event: { event_id: reply } },
      }
      expect((await bob.event(room, root)).unsigned?.['m.relations']).toMatchObject(expected)
      const inHistory = (await bob.history(room)).find((event) => event.event_id === root)
      expect(inHistory?.unsigned?.['m.relations']).toMatchObject(expected)
      const relations = (suffix = '') =>
        bob.call<{ chunk: ClientEvent[] }>('GET', `${v1}/rooms/${enc(room)}/relations/${enc(root)}${suffix}`)
      expect((await relations()).chunk).toHaveLength(3)
      expect((await relations('/m.thread')).chunk.map((event) => event.event_id)).toEqual([reply])
      expect((await relations('/m.annotation/m.reaction')).chunk).toHaveLength(1)
      expect((await relations('/m.annotation/m.room.message?recurse=true')).chunk).toEqual([])
      const threads = await bob.call<{ chunk: ClientEvent[] }>('GET', `${v1}/rooms/${enc(room)}/threads`)
      expect(threads.chunk).toMatchObject([{ event_id: root, unsigned: { 'm.relations': expected } }])
      const limited = await bob.sync({ filter: { room: { timeline: { limit: 4 }, rooms: [room] } } })
      const events = limited.rooms?.join?.[room]?.timeline?.events
      expect(events?.find((event) => event.event_id === root)?.unsigned?.['m.relations']).toMatchObject(expected)
    })

    test('an event is found by its time, and read among its neighbours', async () => {
      const room = await alice.createRoom()
      const ids: string[] = []
      for (let i = 0; i < 5; i++) ids.push(await alice.message(room, `${i}`))
      await cluster().settle()
      const { origin_server_ts: ts } = await alice.event(room, ids[2] as string)
      const found = await alice.call('GET', `${v1}/rooms/${enc(room)}/timestamp_to_event?ts=${ts}&dir=f`)
      expect(ids).toContain(found.event_id)
      const context = await alice.get<{
        events_before: ClientEvent[]
        event: ClientEvent
        events_after: ClientEvent[]
        state: ClientEvent[]
      }>(`/rooms/${enc(room)}/context/${enc(ids[2] as string)}?limit=2`)
      expect([context.events_before[0]?.event_id, context.event.event_id, context.events_after[0]?.event_id]).toEqual(ids.slice(1, 4))
      expect(context.state.map((event) => event.type)).toContain('m.room.create')
    })

    test('a published room is listed, follows what is said of it, and can be hidden', async () => {
      const room = await alice.createRoom({ preset: 'public_chat', name: 'Unfindable' })
      await alice.put(`/directory/list/room/${enc(room)}`, { visibility: 'public' })
      type List = { chunk: { room_id: string; name?: string; num_joined_members: number }[] }
      const search = (term: string) => bob.post('/publicRooms', { filter: { generic_search_term: term } }) as unknown as Promise<List>
      expect((await search('unfindable')).chunk).toMatchObject([{ room_id: room, num_joined_members: 1 }])
      const nameEvent = await alice.setState(room, 'm.room.name', '', { name: 'Findable loom' })
      await bob.join(room)
      await eventually(
        () => search('findable loom'),
        ({ chunk }) => chunk[0]?.num_joined_members === 2,
      )
      await alice.redact(room, nameEvent)
      await eventually(
        () => search('findable loom'),
        ({ chunk }) => chunk.length === 0,
      )
      const anybody = await cluster().call('GET', `${v3}/publicRooms?limit=500`)
      expect((anybody.body as unknown as List).chunk.map((entry) => entry.room_id)).toContain(room)
      expect((await bob.attempt('PUT', `${v3}/directory/list/room/${enc(room)}`, { visibility: 'private' })).status).toBe(403)
      await alice.put(`/directory/list/room/${enc(room)}`, { visibility: 'private' })
      expect(await bob.get(`/directory/list/room/${enc(room)}`)).toEqual({ visibility: 'private' })
    })

    test('/versions names what answers, by its feature', async () => {
      const { unstable_features } = (await cluster().call('GET', '/_matrix/client/versions')).body as { unstable_features: Json }
      expect(unstable_features).toMatchObject({
        'org.matrix.msc3030': true,
        'org.matrix.msc3440.stable': true,
        'org.matrix.msc3715.stable': true,
        'org.matrix.msc3827.stable': true,
        'org.matrix.msc3856.stable': true,
        'org.matrix.msc3981': true,
      })
    })
  })
}
