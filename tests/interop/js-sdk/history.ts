import assert from 'node:assert/strict'
import { ClientEvent, Direction, Preset, RoomEvent, type SyncStateData, TimelineWindow } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { bodies, type Person, texts } from './person.ts'
import { registerAtOnce } from './registration.ts'
import { logIn } from './sessions.ts'

const messages = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `message ${from + i}`)

/** Coming late, and looking back. */
export function history(): Part<Cast> {
  let silent: Person[] = []
  let roomId = ''
  let late: Person
  let tenth = ''
  return {
    async 'a room of eight, where two speak, fills with messages'({ alice, bob, baseUrl }) {
      silent = await Promise.all(Array.from({ length: 6 }, (_, i) => registerAtOnce(baseUrl, `silent${i}`)))
      roomId = (await alice.client.createRoom({ name: 'Long', preset: Preset.PublicChat })).room_id
      await bob.client.joinRoom(roomId)
      for (const { client } of silent) await client.joinRoom(roomId)
      for (const text of messages(0, 30)) {
        const eventId = await alice.says(roomId, text)
        if (text === 'message 10') tenth = eventId
      }
      await bob.until('the last message', () => bodies(bob.room(roomId)).includes('message 29'))
    },
    async 'a new device knows the end of the room, and who spoke there or names it, but not all'({ alice, bob, baseUrl }) {
      late = await logIn(baseUrl, bob.id)
      await late.start({ lazyLoadMembers: true, initialSyncLimit: 5 })
      assert.deepEqual(bodies(late.room(roomId)), messages(25, 30))
      const known = late
        .room(roomId)
        .getMembers()
        .map((member) => member.userId)
      // A summary names five heroes, whose member events come along.
      const unknown = silent.map(({ id }) => id).filter((id) => !known.includes(id))
      assert(known.includes(alice.id) && known.includes(bob.id) && unknown.length === 2, `${known}`)
      assert.equal(late.room(roomId).getJoinedMemberCount(), 8)
    },
    async 'all members come when they are asked for'() {
      await late.room(roomId).loadMembersIfNeeded()
      assert.equal(late.room(roomId).getJoinedMembers().length, 8)
    },
    async 'scrolling back reaches the first event, without a gap or a double'() {
      const room = late.room(roomId)
      let before: number
      do {
        before = room.getLiveTimeline().getEvents().length
        await late.client.scrollback(room, 7)
      } while (room.oldState.paginationToken !== null && room.getLiveTimeline().getEvents().length > before)
      assert.deepEqual(bodies(room), messages(0, 30))
      const events = room.getLiveTimeline().getEvents()
      assert.equal(events[0]?.getType(), 'm.room.create')
      assert.equal(new Set(events.map((event) => event.getId())).size, events.length)
    },
    async 'after a long absence the gap is closed by paginating'({ alice }) {
      late.stop()
      for (const text of messages(30, 55)) await alice.says(roomId, text)
      let resets = 0
      late.client.on(RoomEvent.TimelineReset, (room) => {
        if (room?.roomId === roomId) resets++
      })
      await late.start({ lazyLoadMembers: true })
      await late.until('the newest message', () => bodies(late.room(roomId)).includes('message 54'))
      assert.equal(resets, 1)
      assert(!bodies(late.room(roomId)).includes('message 30'))
      const view = new TimelineWindow(late.client, late.room(roomId).getUnfilteredTimelineSet())
      await view.load(undefined, 10)
      // Each page brings something, so that there are fewer than messages.
      for (let pages = 0; pages < 55 && !texts(view.getEvents()).includes('message 29'); pages++) {
        assert.equal(await view.paginate(Direction.Backward, 10), true)
      }
      assert.deepEqual(texts(view.getEvents()).slice(-26), messages(29, 55))
    },
    async 'a new client goes on from what the old one wrote to its disk'({ alice }) {
      late.stop()
      for (const text of messages(55, 58)) await alice.says(roomId, text)
      const { complaints } = late
      late = late.again({ disk: true })
      late.complaints.push(...complaints)
      const states: (SyncStateData | undefined)[] = []
      late.client.on(ClientEvent.Sync, (_state, _previous, data) => states.push(data))
      await late.start({ lazyLoadMembers: true })
      const [fromDisk, fromServer] = states
      assert.deepEqual([fromDisk?.fromCache, fromServer?.fromCache], [true, undefined])
      assert.equal(fromServer?.oldSyncToken, fromDisk?.nextSyncToken)
      await late.until('the newest message', () => bodies(late.room(roomId)).includes('message 57'))
      const seen = bodies(late.room(roomId))
      // Without a gap from what was on the disk to what is new.
      assert.deepEqual(seen.slice(-5), messages(53, 58))
      assert.equal(late.room(roomId).name, 'Long')
      await alice.sees(roomId, await late.says(roomId, 'I am back'))
    },
    async 'a link to an old message opens around it, and from there both ways'() {
      const room = late.room(roomId)
      const around = await late.client.getEventTimeline(room.getUnfilteredTimelineSet(), tenth)
      assert(around !== null, 'no timeline')
      const middle = texts(around.getEvents())
      assert(middle.includes('message 10') && !middle.includes('message 29'), `${middle}`)
      for (const backwards of [true, false]) assert.equal(await late.client.paginateEventTimeline(around, { backwards, limit: 4 }), true)
      const wider = texts(around.getEvents())
      const first = messages(0, 30).indexOf(wider[0] as string)
      assert.equal(wider.length, middle.length + 8)
      assert.deepEqual(wider, messages(first, first + wider.length))
    },
    async 'messages are asked for by the page'({ bob }) {
      const { chunk, end } = await bob.client.createMessagesRequest(roomId, null, 3, Direction.Backward)
      assert.deepEqual(
        chunk.map((event) => event.content.body),
        ['I am back', 'message 57', 'message 56'],
      )
      const next = await bob.client.createMessagesRequest(roomId, end ?? null, 2, Direction.Backward)
      assert.deepEqual(
        next.chunk.map((event) => event.content.body),
        ['message 55', 'message 54'],
      )
    },
    async 'the new device had nothing to complain about'() {
      await late.logOut()
      assert.deepEqual(late.complaints, [])
    },
  }
}
