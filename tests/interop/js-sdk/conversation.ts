import assert from 'node:assert/strict'
import { EventStatus, EventType, MsgType, Preset, ReceiptType, RelationType } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { bodies, type Person, refused } from './person.ts'

/** Edits a text message as clients do: a fallback for those who know no edits, and the new content. */
async function edit(person: Person, roomId: string, eventId: string, body: string): Promise<string> {
  const content = { msgtype: MsgType.Text as const, body }
  const { event_id } = await person.client.sendMessage(roomId, {
    msgtype: MsgType.Text,
    body: `* ${body}`,
    'm.new_content': content,
    'm.relates_to': { rel_type: RelationType.Replace, event_id: eventId },
  })
  return event_id
}

export function firstRoom(): Part<Cast> {
  return {
    async 'alice creates a room and sees it'(cast) {
      const { alice } = cast
      const { room_id } = await alice.client.createRoom({ name: 'Tea', topic: 'Green or black', preset: Preset.PrivateChat })
      const room = await alice.until('her room', () => alice.client.getRoom(room_id))
      assert.equal(room.name, 'Tea')
      assert.equal(room.getMyMembership(), 'join')
      assert.equal(room.currentState.getStateEvents(EventType.RoomTopic, '')?.getContent().topic, 'Green or black')
      assert.equal(room.getCreator(), alice.id)
      assert.equal(room.getJoinRule(), 'invite')
      assert.equal(room.getVersion(), (await alice.client.getCapabilities())['m.room_versions']?.default)
      cast.roomId = room_id
    },
    async 'who is not invited cannot join'({ bob, roomId }) {
      await refused(bob.client.joinRoom(roomId), 403, 'M_FORBIDDEN')
    },
    async 'alice invites bob, who sees what he is invited to'({ alice, bob, roomId }) {
      await alice.client.invite(roomId, bob.id)
      await bob.seesMembership(roomId, 'invite')
      const room = bob.room(roomId)
      assert.equal(room.getMyMembership(), 'invite')
      assert.equal(room.name, 'Tea')
      assert.equal(room.getMember(bob.id)?.events.member?.getSender(), alice.id)
      assert.deepEqual(bodies(room), [])
    },
    async 'alice sees bob invited'({ alice, bob, roomId }) {
      await alice.seesMembership(roomId, 'invite', bob)
    },
    async 'bob joins, and both see it'({ alice, bob, roomId }) {
      const joined = await bob.client.joinRoom(roomId)
      assert.equal(joined.roomId, roomId)
      await Promise.all([bob.seesMembership(roomId, 'join'), alice.seesMembership(roomId, 'join', bob)])
      await bob.until('both members', () => bob.room(roomId).getJoinedMemberCount() === 2)
    },
  }
}

export function talk(): Part<Cast> {
  let hello = ''
  let answer = ''
  return {
    async 'alice says hello, bob hears it'({ alice, bob, roomId }) {
      hello = await alice.says(roomId, 'Hello Bob')
      const heard = await bob.sees(roomId, hello)
      assert.equal(heard.getContent().body, 'Hello Bob')
      assert.equal(heard.getSender(), alice.id)
    },
    async 'the echo of her own message is known as hers'({ alice, roomId }) {
      await alice.until('the echo', () => alice.room(roomId).findEventById(hello)?.status === null)
      assert.deepEqual(bodies(alice.room(roomId)), ['Hello Bob'])
      const events = alice.room(roomId).getLiveTimeline().getEvents()
      assert(events.every(({ status }) => status === null || status === EventStatus.SENT))
      assert.equal(alice.room(roomId).getPendingEvent(hello), null)
    },
    async 'bob answers, alice hears it'({ alice, bob, roomId }) {
      answer = await bob.says(roomId, 'Hello Alice 👋')
      assert.equal((await alice.sees(roomId, answer)).getContent().body, 'Hello Alice 👋')
    },
    async 'alice edits, bob sees the new text in the old place'({ alice, bob, roomId }) {
      const eventId = await edit(alice, roomId, hello, 'Hello dear Bob')
      await bob.until('the edit', () => bob.room(roomId).findEventById(hello)?.replacingEventId() === eventId)
      assert.equal(bob.room(roomId).findEventById(hello)?.getContent().body, 'Hello dear Bob')
      assert.equal(bob.room(roomId).findEventById(hello)?.getOriginalContent().body, 'Hello Bob')
    },
    async 'bob edits, alice sees it'({ alice, bob, roomId }) {
      await edit(bob, roomId, answer, 'Hello dear Alice')
      await alice.until('the edit', () => alice.room(roomId).findEventById(answer)?.getContent().body === 'Hello dear Alice')
    },
    async 'bob reacts, and both count the reaction to the message'({ alice, bob, roomId }) {
      const { event_id } = await bob.client.sendEvent(roomId, EventType.Reaction, {
        'm.relates_to': { rel_type: RelationType.Annotation, event_id: hello, key: '🍵' },
      })
      for (const person of [alice, bob]) {
        const counted = await person.until('the reaction', () =>
          person
            .room(roomId)
            .relations.getChildEventsForEvent(hello, RelationType.Annotation, EventType.Reaction)
            ?.getSortedAnnotationsByKey()
            ?.map(([key, events]) => [key, [...events].map((event) => event.getId())]),
        )
        assert.deepEqual(counted, [['🍵', [event_id]]])
      }
    },
    async 'bob takes the reaction back'({ alice, bob, roomId }) {
      const relations = () => alice.room(roomId).relations.getChildEventsForEvent(hello, RelationType.Annotation, EventType.Reaction)
      const [reaction] = relations()?.getRelations() ?? []
      await bob.client.redactEvent(roomId, reaction?.getId() as string)
      await alice.until('its end', () => relations()?.getRelations().length === 0)
    },
    async 'a message sent twice with one transaction id is there once'({ alice, bob, roomId }) {
      const content = { msgtype: MsgType.Text as const, body: 'once' }
      const [first, second] = [await bob.client.sendMessage(roomId, content, 'txn-1'), await sendAgain(bob, roomId, content, 'txn-1')]
      assert.equal(second, first.event_id)
      await alice.sees(roomId, first.event_id)
      const fence = await bob.says(roomId, 'after once')
      await alice.sees(roomId, fence)
      assert.equal(bodies(alice.room(roomId)).filter((body) => body === 'once').length, 1)
    },
    async 'typing shows, and stops showing'({ alice, bob, roomId }) {
      await alice.client.sendTyping(roomId, true, 30_000)
      await bob.until('alice typing', () => bob.room(roomId).getMember(alice.id)?.typing)
      await alice.client.sendTyping(roomId, false, 0)
      await bob.until('alice no longer typing', () => bob.room(roomId).getMember(alice.id)?.typing === false)
    },
    async 'a read receipt shows'({ alice, bob, roomId }) {
      await bob.client.sendReadReceipt(await bob.sees(roomId, answer))
      await alice.until('the receipt', () => alice.room(roomId).getEventReadUpTo(bob.id, true) === answer)
      assert.equal(alice.room(roomId).hasUserReadEvent(bob.id, hello), true)
    },
    async 'a private receipt is nobody else’s'({ alice, bob, roomId }) {
      const last = await alice.says(roomId, 'Read this in private')
      await bob.client.sendReadReceipt(await bob.sees(roomId, last), ReceiptType.ReadPrivate)
      const own = () => bob.room(roomId).getReadReceiptForUserId(bob.id, true, ReceiptType.ReadPrivate)?.eventId
      await bob.until('his own receipt', () => own() === last)
      // A public receipt on the same message comes after the private one would have.
      const fence = await alice.says(roomId, 'And this in public')
      await bob.client.sendReadReceipt(await bob.sees(roomId, fence))
      await alice.until('the public receipt', () => alice.room(roomId).getReadReceiptForUserId(bob.id, true)?.eventId === fence)
      assert.equal(alice.room(roomId).getReadReceiptForUserId(bob.id, true, ReceiptType.ReadPrivate), null)
    },
    async 'the fully-read marker is kept with the room'({ bob, roomId }) {
      await bob.client.setRoomReadMarkers(roomId, hello, await bob.sees(roomId, answer))
      await bob.until('m.fully_read', () => bob.room(roomId).getAccountData(EventType.FullyRead)?.getContent().event_id === hello)
    },
    async 'alice redacts her message, it is empty for both'({ alice, bob, roomId }) {
      const eventId = await alice.says(roomId, 'I regret this')
      await bob.sees(roomId, eventId)
      await alice.client.redactEvent(roomId, eventId, undefined, { reason: 'typo' })
      for (const person of [bob, alice]) {
        await person.until('the redaction', () => person.room(roomId).findEventById(eventId)?.isRedacted())
        assert.deepEqual(person.room(roomId).findEventById(eventId)?.getContent(), {})
      }
      const fetched = await bob.client.fetchRoomEvent(roomId, eventId)
      assert.deepEqual(fetched.content, {})
      assert.equal(fetched.unsigned?.redacted_because?.content?.reason, 'typo')
    },
    async 'bob may not redact what alice said'({ bob, roomId }) {
      await refused(bob.client.redactEvent(roomId, hello), 403, 'M_FORBIDDEN')
      // What it sent and did not come through is logged by the client as an error; this one was due.
      assert.match(bob.complaints.pop() ?? '', /M_FORBIDDEN/)
    },
  }
}

/** The same request once more, past the client's own bookkeeping of transactions. */
async function sendAgain(person: Person, roomId: string, content: object, txnId: string): Promise<string> {
  const { client } = person
  const url = new URL(`/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${txnId}`, client.getHomeserverUrl())
  const headers = { authorization: `Bearer ${client.getAccessToken()}` }
  const response = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(content) })
  const { event_id } = (await response.json()) as { event_id: string }
  return event_id
}
