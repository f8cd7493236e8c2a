import assert from 'node:assert/strict'
import { Direction, EventType, MsgType, PendingEventOrdering, RelationType } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { type Person, texts } from './person.ts'

/** What points at other messages: edits, reactions and threads, asked of the server rather than gathered from the timeline. */
export function relations(): Part<Cast> {
  let root = ''
  let roomId = ''
  // Clients with threads, as Element has them.
  let alice: Person
  let bob: Person
  return {
    async 'edits and reactions can be asked for'(cast) {
      const { client } = cast.alice
      roomId = (await client.createRoom({ invite: [cast.bob.id] })).room_id
      await cast.bob.client.joinRoom(roomId)
      root = await cast.alice.says(roomId, 'A question')
      const content = { msgtype: MsgType.Text as const, body: 'A better question' }
      await client.sendMessage(roomId, {
        msgtype: MsgType.Text,
        body: '* A better question',
        'm.new_content': content,
        'm.relates_to': { rel_type: RelationType.Replace, event_id: root },
      })
      const key = '👍'
      await cast.bob.client.sendEvent(roomId, EventType.Reaction, {
        'm.relates_to': { rel_type: RelationType.Annotation, event_id: root, key },
      })
      const { events: edits, originalEvent } = await client.relations(roomId, root, RelationType.Replace, EventType.RoomMessage)
      assert.deepEqual(
        edits.map((event) => event.getContent()['m.new_content']?.body),
        ['A better question'],
      )
      assert.equal(originalEvent?.getId(), root)
      const { events: reactions } = await client.relations(roomId, root, RelationType.Annotation, EventType.Reaction)
      assert.deepEqual(
        reactions.map((event) => event.getRelation()?.key),
        [key],
      )
    },
    async 'who comes later sees the message as it was edited'(cast) {
      ;[alice, bob] = [cast.alice.again({ disk: false }), cast.bob.again({ disk: false })]
      const options = { threadSupport: true, pendingEventOrdering: PendingEventOrdering.Detached }
      await Promise.all([alice.start(options), bob.start(options)])
      await bob.until('the edit', () => bob.room(roomId).findEventById(root)?.getContent().body === 'A better question')
    },
    async 'an answer in a thread is in the thread, for both'() {
      // The first message of a thread is sent from the thread's view, which makes it.
      bob.room(roomId).createThread(root, bob.room(roomId).findEventById(root), [], true)
      const { event_id } = await bob.client.sendMessage(roomId, root, { msgtype: MsgType.Text, body: 'An answer' })
      for (const person of [alice, bob]) {
        const found = () => person.room(roomId).getThread(root)
        await person.until('the answer', () => found()?.findEventById(event_id) !== undefined && found()?.length === 1)
        assert.equal(found()?.rootEvent?.getContent().body, 'A better question')
        assert.equal(texts(person.room(roomId).getLiveTimeline().getEvents()).includes('An answer'), false)
      }
    },
    async 'the server lists threads, and pages through one'() {
      for (let n = 1; n <= 5; n++) await alice.client.sendMessage(roomId, root, { msgtype: MsgType.Text, body: `Answer ${n}` })
      const { chunk } = await bob.client.createThreadListMessagesRequest(roomId, null, 10, Direction.Backward)
      assert.deepEqual(
        chunk.map(({ event_id, unsigned }) => [event_id, unsigned?.['m.relations']?.['m.thread']?.count]),
        [[root, 6]],
      )
      const { events, nextBatch } = await bob.client.relations(roomId, root, RelationType.Thread, null, { limit: 4 })
      const rest = await bob.client.relations(roomId, root, RelationType.Thread, null, { limit: 4, from: nextBatch ?? undefined })
      assert.deepEqual(texts([...events, ...rest.events]), ['Answer 5', 'Answer 4', 'Answer 3', 'Answer 2', 'Answer 1', 'An answer'])
    },
    async 'these clients had nothing to complain about'() {
      alice.stop()
      bob.stop()
      assert.deepEqual([...alice.complaints, ...bob.complaints], [])
    },
  }
}
