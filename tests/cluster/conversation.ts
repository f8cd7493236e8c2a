import { beforeAll, expect, test } from '@jest/globals'
import { type ClientEvent, type Follower, isLoggedOut, PASSWORD, type TestClient } from '@weft/testkit'
import { type ClusterOptions, clusterSuite } from './cluster.ts'

const bodies = (events: readonly ClientEvent[]) =>
  events.filter((event) => event.type === 'm.room.message').map((event) => event.content.body)

/** A conversation as people have it, over whatever layout: each test is a thing that they do. */
export function conversation(name: string, options: ClusterOptions): void {
  clusterSuite(name, options, (cluster) => {
    let alice: TestClient
    let bob: TestClient
    let atAlice: Follower
    let atBob: Follower
    let room: string

    beforeAll(async () => {
      alice = await cluster().register('alice')
      bob = await cluster().register('bob')
      atAlice = await cluster().follow(alice)
      atBob = await cluster().follow(bob)
      room = await alice.createRoom({ name: 'Loom', invite: [bob.userId], preset: 'private_chat' })
    })

    test('an invite arrives with its stripped state, and joining shows the room and its history', async () => {
      await atBob.waitFor('the invite', () => atBob.invites.has(room))
      expect(atBob.invites.get(room)?.map((event) => event.type)).toEqual(
        expect.arrayContaining(['m.room.create', 'm.room.member', 'm.room.name']),
      )
      const before = await alice.message(room, 'before the join')
      await bob.join(room)
      await atBob.waitFor(
        'its own join',
        () => atBob.rooms.get(room)?.stateEvent('m.room.member', bob.userId)?.content.membership === 'join',
      )
      await atAlice.waitFor('the join', () => atAlice.room(room).stateEvent('m.room.member', bob.userId)?.content.membership === 'join')
      expect(atBob.room(room).stateEvent('m.room.name')?.content).toEqual({ name: 'Loom' })
      expect((await bob.history(room)).map((event) => event.event_id)).toContain(before)
    })

    test('messages of both arrive at both in one order, each once', async () => {
      const sent: string[] = []
      for (let i = 0; i < 10; i++) sent.push(await alice.message(room, `alice ${i}`), await bob.message(room, `bob ${i}`))
      const seen = (follower: Follower) =>
        follower
          .room(room)
          .events.filter((event) => sent.includes(event.event_id))
          .map((event) => event.event_id)
      await atAlice.waitFor('all messages', () => seen(atAlice).length === sent.length)
      await atBob.waitFor('all messages', () => seen(atBob).length === sent.length)
      expect(seen(atAlice)).toEqual(sent)
      expect(seen(atBob)).toEqual(sent)
      expect(atAlice.room(room).repeated).toEqual([])
      expect(atBob.room(room).repeated).toEqual([])
    })

    test('a repeated request is the same event, and only its sender sees the transaction id', async () => {
      const txnId = alice.newTxnId()
      const first = await alice.message(room, 'once', { txnId })
      const [again, oncemore] = await Promise.all([alice.message(room, 'once', { txnId }), alice.message(room, 'once', { txnId })])
      expect([again, oncemore]).toEqual([first, first])
      await atBob.waitFor('the message', () => atBob.room(room).has(first))
      await atAlice.waitFor('the message', () => atAlice.room(room).has(first))
      const at = (follower: Follower) => follower.room(room).events.find((event) => event.event_id === first)
      // Under torture its announcement may be lost, and the row is read from the table.
      expect(at(atAlice)?.unsigned?.transaction_id).toBe(txnId)
      expect(at(atBob)?.unsigned?.transaction_id).toBeUndefined()
      expect(bodies(await bob.history(room)).filter((body) => body === 'once')).toHaveLength(1)
    })

    test('an edit and a redaction reach the other, and what was redacted is gone everywhere', async () => {
      const original = await alice.message(room, 'teh text')
      const edit = await alice.message(room, {
        msgtype: 'm.text',
        body: '* the text',
        'm.new_content': { msgtype: 'm.text', body: 'the text' },
        'm.relates_to': { rel_type: 'm.replace', event_id: original },
      })
      await atBob.waitFor('the edit', () => atBob.room(room).has(edit))
      const secret = await alice.message(room, 'a secret')
      const redaction = await alice.redact(room, secret, 'said too much')
      await atBob.waitFor('the redaction', () => atBob.room(room).has(redaction))
      const shown = await bob.event(room, secret)
      expect(shown.content).toEqual({})
      expect(shown.unsigned?.redacted_because).toMatchObject({ event_id: redaction, content: { reason: 'said too much' } })
      expect(JSON.stringify(await bob.history(room))).not.toContain('a secret')
      expect(JSON.stringify(await bob.sync())).not.toContain('a secret')
    })

    test('typing comes and goes', async () => {
      await alice.put(`/rooms/${encodeURIComponent(room)}/typing/${encodeURIComponent(alice.userId)}`, { typing: true, timeout: 30_000 })
      await atBob.waitFor('typing', () => atBob.room(room).typing.includes(alice.userId))
      await alice.put(`/rooms/${encodeURIComponent(room)}/typing/${encodeURIComponent(alice.userId)}`, { typing: false })
      await atBob.waitFor('the end of typing', () => atBob.room(room).typing.length === 0)
    })

    test('who leaves, is kicked or banned types there no longer, and goes on elsewhere', async () => {
      const types = (client: TestClient, where: string) =>
        client.put(`/rooms/${encodeURIComponent(where)}/typing/${encodeURIComponent(client.userId)}`, { typing: true, timeout: 120_000 })
      const [left, elsewhere] = [await alice.createRoom({ preset: 'public_chat' }), await alice.createRoom({ preset: 'public_chat' })]
      for (const where of [left, elsewhere]) await bob.join(where)
      await types(bob, elsewhere)
      const departures = [
        () => bob.leave(left),
        () => alice.post(`/rooms/${encodeURIComponent(left)}/kick`, { user_id: bob.userId }),
        () => alice.post(`/rooms/${encodeURIComponent(left)}/ban`, { user_id: bob.userId }),
      ]
      for (const depart of departures) {
        await bob.join(left)
        await types(bob, left)
        await atAlice.waitFor('typing', () => atAlice.room(left).typing.includes(bob.userId))
        await depart()
        await atAlice.waitFor('the end of typing', () => atAlice.room(left).typing.length === 0)
      }
      await atAlice.waitFor('typing elsewhere', () => atAlice.room(elsewhere).typing.includes(bob.userId))
      await bob.leave(elsewhere)
      await atAlice.waitFor('the end of typing', () => atAlice.room(elsewhere).typing.length === 0)
    })

    test('receipts reach the other; private ones and the read marker only the reader', async () => {
      const read = await alice.message(room, 'read this')
      const readers = (content: Record<string, unknown>) =>
        Object.keys((content[read] as { 'm.read'?: object } | undefined)?.['m.read'] ?? {})
      await bob.post(`/rooms/${encodeURIComponent(room)}/receipt/m.read/${encodeURIComponent(read)}`)
      await atAlice.waitFor('the receipt', () => atAlice.room(room).receipts.some((content) => readers(content).includes(bob.userId)))
      await bob.post(`/rooms/${encodeURIComponent(room)}/read_markers`, { 'm.fully_read': read, 'm.read.private': read })
      await atBob.waitFor('the read marker', () => atBob.room(room).accountData.get('m.fully_read')?.event_id === read)
      await atBob.waitFor('the private receipt', () => JSON.stringify(atBob.room(room).receipts).includes('m.read.private'))
      await cluster().settle()
      expect(JSON.stringify(await alice.sync())).not.toContain('m.read.private')
    })

    test('account data and tags come back at once, and reach the other devices of the user alone', async () => {
      const user = encodeURIComponent(alice.userId)
      const phone = await cluster().login('alice')
      const atPhone = await cluster().follow(phone)
      await alice.put(`/user/${user}/account_data/org.weft.test`, { colour: 'madder' })
      expect(await phone.get(`/user/${user}/account_data/org.weft.test`)).toEqual({ colour: 'madder' })
      await alice.put(`/user/${user}/rooms/${encodeURIComponent(room)}/tags/m.favourite`, { order: 0.25 })
      expect(await phone.get(`/user/${user}/rooms/${encodeURIComponent(room)}/tags`)).toEqual({ tags: { 'm.favourite': { order: 0.25 } } })
      await atPhone.waitFor('account data', () => atPhone.accountData.get('org.weft.test')?.colour === 'madder')
      await atPhone.waitFor('the tag', () => JSON.stringify(atPhone.room(room).accountData.get('m.tag'))?.includes('m.favourite') === true)
      expect(atBob.accountData.has('org.weft.test')).toBe(false)
      await alice.delete(`/user/${user}/rooms/${encodeURIComponent(room)}/tags/m.favourite`)
      await atPhone.waitFor('no tag', () => JSON.stringify(atPhone.room(room).accountData.get('m.tag')) === '{"tags":{}}')
      await atPhone.stop()
      await phone.post('/logout')
    })

    test('to-device messages arrive once, in order, and only at the device they name', async () => {
      const other = await cluster().login('bob')
      const atOther = await cluster().follow(other)
      for (let i = 0; i < 5; i++) {
        const messages = { [bob.userId]: { [bob.deviceId]: { number: i } } }
        await alice.put(`/sendToDevice/org.weft.test/${alice.newTxnId()}`, { messages })
      }
      await alice.put(`/sendToDevice/org.weft.all/${alice.newTxnId()}`, { messages: { [bob.userId]: { '*': {} } } })
      await atOther.waitFor('the message to all', () => atOther.toDevice.length > 0)
      await atBob.waitFor('the message to all', () => atBob.toDevice.some((message) => message.type === 'org.weft.all'))
      expect(atOther.toDevice.map((message) => message.type)).toEqual(['org.weft.all'])
      expect(atBob.toDevice.map((message) => message.content.number)).toEqual([0, 1, 2, 3, 4, undefined])
      expect(new Set(atBob.toDevice.map((message) => message.sender))).toEqual(new Set([alice.userId]))
      await atOther.stop()
      await other.post('/logout')
    })

    test('a changed profile is read back at once and reaches the joined rooms', async () => {
      const user = encodeURIComponent(alice.userId)
      await alice.put(`/profile/${user}/displayname`, { displayname: 'Alice the weaver' })
      expect(await bob.get(`/profile/${user}/displayname`)).toEqual({ displayname: 'Alice the weaver' })
      await atBob.waitFor(
        'the new name',
        () => atBob.room(room).stateEvent('m.room.member', alice.userId)?.content.displayname === 'Alice the weaver',
      )
    })

    test('reads see what was written before them, whichever process answers', async () => {
      const topic = await alice.setState(room, 'm.room.topic', '', { topic: 'warp' })
      expect(await bob.state(room, 'm.room.topic')).toEqual({ topic: 'warp' })
      expect((await bob.event(room, topic)).content).toEqual({ topic: 'warp' })
      for (let i = 0; i < 5; i++) {
        const id = await alice.message(room, `ryw ${i}`)
        expect((await bob.messages(room, { dir: 'b', limit: '1' })).chunk[0]?.event_id).toBe(id)
        const made = await alice.createRoom({})
        expect((await alice.get<{ joined_rooms: string[] }>('/joined_rooms')).joined_rooms).toContain(made)
        await alice.leave(made)
        expect((await alice.get<{ joined_rooms: string[] }>('/joined_rooms')).joined_rooms).not.toContain(made)
      }
    })

    test('an alias leads others in; who is kicked sees no more, who is banned cannot come back', async () => {
      const club = await alice.createRoom({ preset: 'public_chat', room_alias_name: 'club' })
      const alias = `#club:${cluster().serverName}`
      const carol = await cluster().register('carol')
      const atCarol = await cluster().follow(carol)
      expect(await carol.join(alias)).toBe(club)
      const hello = await carol.message(club, 'hello')
      await alice.post(`/rooms/${encodeURIComponent(club)}/kick`, { user_id: carol.userId, reason: 'moths' })
      await atCarol.waitFor('the kick', () => atCarol.left.has(club))
      const after = await alice.message(club, 'behind her back')
      expect(await carol.attempt('PUT', `/_matrix/client/v3/rooms/${encodeURIComponent(club)}/send/m.room.message/late`, {})).toMatchObject(
        {
          status: 403,
          body: { errcode: 'M_FORBIDDEN' },
        },
      )
      const seen = (await carol.history(club)).map((event) => event.event_id)
      expect(seen).toContain(hello)
      expect(seen).not.toContain(after)
      await alice.post(`/rooms/${encodeURIComponent(club)}/ban`, { user_id: carol.userId })
      await expect(carol.join(club)).rejects.toMatchObject({ status: 403, errcode: 'M_FORBIDDEN' })
      await carol.post(`/rooms/${encodeURIComponent(club)}/forget`)
      await expect(carol.history(club)).rejects.toMatchObject({ status: 403 })
    })

    test('members are lists of those who are in', async () => {
      const { joined } = await alice.get<{ joined: Record<string, unknown> }>(`/rooms/${encodeURIComponent(room)}/joined_members`)
      expect(Object.keys(joined).sort()).toEqual([alice.userId, bob.userId].sort())
      const { chunk } = await bob.get<{ chunk: ClientEvent[] }>(`/rooms/${encodeURIComponent(room)}/members?membership=join`)
      expect(chunk.map((event) => event.state_key).sort()).toEqual([alice.userId, bob.userId].sort())
    })

    test('a device is renamed, and deleted by password: its token dies at once on every process', async () => {
      const phone = await cluster().login('alice', { deviceId: 'PHONE' })
      await alice.put('/devices/PHONE', { display_name: 'a loom' })
      expect(await phone.get('/devices/PHONE')).toMatchObject({ device_id: 'PHONE', display_name: 'a loom' })
      await expect(alice.delete('/devices/PHONE')).rejects.toMatchObject({
        status: 401,
        body: { flows: [{ stages: ['m.login.password'] }] },
      })
      const asked = await alice.attempt('DELETE', '/_matrix/client/v3/devices/PHONE', {})
      const auth = {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'alice' },
        password: PASSWORD,
        session: asked.body.session,
      }
      await alice.delete('/devices/PHONE', { auth })
      await expectRefused(phone)
      const { devices } = await alice.get<{ devices: { device_id: string }[] }>('/devices')
      expect(devices.map((device) => device.device_id)).not.toContain('PHONE')
    })

    test('logout ends the long poll of its device with 401, at once and everywhere; other devices go on', async () => {
      const phone = await cluster().login('bob')
      const atPhone = await cluster().follow(phone)
      await phone.post('/logout')
      await expectRefused(phone)
      expect(isLoggedOut(await atPhone.end())).toBe(true)
      const id = await alice.message(room, 'still there?')
      await atBob.waitFor('the message', () => atBob.room(room).has(id))
    })

    test('logging in again continues where the conversation is', async () => {
      const again = await cluster().login('bob')
      await cluster().settle()
      const { rooms } = await again.sync()
      expect(Object.keys(rooms?.join ?? {})).toEqual([room])
      const answer = await alice.message(room, 'welcome back')
      expect((await again.history(room)).at(-1)?.event_id).toBe(answer)
    })

    test('at the end everybody has seen the same room', async () => {
      const last = await alice.message(room, 'the end')
      for (const follower of [atAlice, atBob]) await follower.waitFor('the last message', () => follower.room(room).has(last))
      await cluster().settle()
      const history = (await alice.history(room)).map((event) => event.event_id)
      expect(atAlice.room(room).events.map((event) => event.event_id)).toEqual(history)
      const sinceJoin = atBob.room(room).events.map((event) => event.event_id)
      expect(history.slice(history.indexOf(sinceJoin[0] ?? ''))).toEqual(sinceJoin)
      expect([...atAlice.room(room).repeated, ...atBob.room(room).repeated]).toEqual([])
    })

    /** On an endpoint of every class, and again, so that each process is met: 401 from the first answer on. */
    async function expectRefused(client: TestClient): Promise<void> {
      // A logout waits a second at most for the others to hear of it, and here the announcement and the next heartbeat may both be lost.
      if (options.torture) await cluster().settle()
      const path = '/_matrix/client/v3'
      const asked = [
        `${path}/account/whoami`,
        `${path}/joined_rooms`,
        `${path}/rooms/${encodeURIComponent(room)}/state`,
        `${path}/sync?timeout=0`,
      ]
      for (const [method, at] of [...asked.map((one) => ['GET', one]), ['POST', `${path}/createRoom`]] as [string, string][]) {
        expect(await client.attempt(method, at, method === 'POST' ? {} : undefined)).toMatchObject({
          status: 401,
          body: { errcode: 'M_UNKNOWN_TOKEN' },
        })
      }
    }
  })
}
