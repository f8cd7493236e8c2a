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

export function firstRoom(cast: Cast): Part {
  return async (step) => {
    const { alice, bob } = cast
    const roomId = await step('alice creates a room and sees it', async () => {
      const { room_id } = await alice.client.createRoom({ name: 'Tea', topic: 'Green or black', preset: Preset.PrivateChat })
      const room = await alice.until('her room', () => alice.client.getRoom(room_id))
      assert.equal(room.name, 'Tea')
      assert.equal(room.getMyMembership(), 'join')
      assert.equal(room.currentState.getStateEvents(EventType.RoomTopic, '')?.getContent().topic, 'Green or black')
      assert.equal(room.getCreator(), alice.id)
      assert.equal(room.getJoinRule(), 'invite')
      assert.equal(room.getVersion(), (await alice.client.getCapabilities())['m.room_versions']?.default)
      return room_id
    })
    cast.roomId = roomId
    await step('who is not invited cannot join', () => refused(bob.client.joinRoom(roomId), 403, 'M_FORBIDDEN'))
    await step('alice invites bob, who sees what he is invited to', async () => {
      await alice.client.invite(roomId, bob.id)
      await bob.seesMembership(roomId, 'invite')
      const room = bob.room(roomId)
      assert.equal(room.getMyMembership(), 'invite')
      assert.equal(room.name, 'Tea')
      assert.equal(room.getMember(bob.id)?.events.member?.getSender(), alice.id)
      assert.deepEqual(
        room
          .getLiveTimeline()
          .getEvents()
          .filter((event) => event.getType() === 'm.room.message'),
        [],
      )
    })
    await step('alice sees bob invited', () => alice.seesMembership(roomId, 'invite', bob))
    await step('bob joins, and both see it', async () => {
      const joined = await bob.client.joinRoom(roomId)
      assert.equal(joined.roomId, roomId)
      await Promise.all([bob.seesMembership(roomId, 'join'), alice.seesMembership(roomId, 'join', bob)])
      await bob.until('both members', () => bob.room(roomId).getJoinedMemberCount() === 2)
    })
  }
}

export function talk(cast: Cast): Part {
  return async (step) => {
    const { alice, bob, roomId } = cast
    const hello = await step('alice says hello, bob hears it', async () => {
      const eventId = await alice.says(roomId, 'Hello Bob')
      const heard = await bob.sees(roomId, eventId)
      assert.equal(heard.getContent().body, 'Hello Bob')
      assert.equal(heard.getSender(), alice.id)
      return eventId
    })
    await step('the echo of her own message is known as hers', async () => {
      await alice.until('the echo', () => alice.room(roomId).findEventById(hello)?.status === null)
      assert.deepEqual(bodies(alice.room(roomId)), ['Hello Bob'])
      const statuses = alice
        .room(roomId)
        .getLiveTimeline()
        .getEvents()
        .map((event) => event.status)
      assert(statuses.every((status) => status === null || status === EventStatus.SENT))
      assert.equal(alice.room(roomId).getPendingEvent(hello), null)
    })
    const answer = await step('bob answers, alice hears it', async () => {
      const eventId = await bob.says(roomId, 'Hello Alice 👋')
      assert.equal((await alice.sees(roomId, eventId)).getContent().body, 'Hello Alice 👋')
      return eventId
    })
    await step('alice edits, bob sees the new text in the old place', async () => {
      const eventId = await edit(alice, roomId, hello, 'Hello dear Bob')
      await bob.sees(roomId, eventId)
      const edited = await bob.until('the edit', () => bob.room(roomId).findEventById(hello)?.replacingEventId() === eventId)
      assert.equal(edited, true)
      assert.equal(bob.room(roomId).findEventById(hello)?.getContent().body, 'Hello dear Bob')
      assert.equal(bob.room(roomId).findEventById(hello)?.getOriginalContent().body, 'Hello Bob')
    })
    await step('bob edits, alice sees it', async () => {
      await edit(bob, roomId, answer, 'Hello dear Alice')
      await alice.until('the edit', () => alice.room(roomId).findEventById(answer)?.getContent().body === 'Hello dear Alice')
    })
    await step('bob reacts, alice sees to what', async () => {
      const { event_id } = await bob.client.sendEvent(roomId, EventType.Reaction, {
        'm.relates_to': { rel_type: RelationType.Annotation, event_id: hello, key: '🍵' },
      })
      const reaction = await alice.sees(roomId, event_id)
      assert.equal(reaction.getRelation()?.event_id, hello)
    })
    await step('a message sent twice with one transaction id is there once', async () => {
      const content = { msgtype: MsgType.Text as const, body: 'once' }
      const [first, second] = [await bob.client.sendMessage(roomId, content, 'txn-1'), await sendAgain(bob, roomId, content, 'txn-1')]
      assert.equal(second, first.event_id)
      await alice.sees(roomId, first.event_id)
      const fence = await bob.says(roomId, 'after once')
      await alice.sees(roomId, fence)
      assert.equal(bodies(alice.room(roomId)).filter((body) => body === 'once').length, 1)
    })
    await step('typing shows, and stops showing', async () => {
      await alice.client.sendTyping(roomId, true, 30_000)
      await bob.until('alice typing', () => bob.room(roomId).getMember(alice.id)?.typing)
      await alice.client.sendTyping(roomId, false, 0)
      await bob.until('alice no longer typing', () => bob.room(roomId).getMember(alice.id)?.typing === false)
    })
    await step('a read receipt shows', async () => {
      const event = await bob.sees(roomId, answer)
      await bob.client.sendReadReceipt(event)
      await alice.until('the receipt', () => alice.room(roomId).getEventReadUpTo(bob.id, true) === answer)
      assert.equal(alice.room(roomId).hasUserReadEvent(bob.id, hello), true)
    })
    await step('a private receipt is nobody else’s', async () => {
      const last = await alice.says(roomId, 'Read this in private')
      await bob.client.sendReadReceipt(await bob.sees(roomId, last), ReceiptType.ReadPrivate)
      await bob.until(
        'his own receipt',
        () => bob.room(roomId).getReadReceiptForUserId(bob.id, true, ReceiptType.ReadPrivate)?.eventId === last,
      )
      await alice.sees(roomId, await bob.says(roomId, 'fence'))
      assert.equal(alice.room(roomId).getReadReceiptForUserId(bob.id, true, ReceiptType.ReadPrivate), null)
      assert.equal(alice.room(roomId).getReadReceiptForUserId(bob.id, true)?.eventId, answer)
    })
    await step('the fully-read marker is kept with the room', async () => {
      const event = await bob.sees(roomId, answer)
      await bob.client.setRoomReadMarkers(roomId, hello, event)
      await bob.until('m.fully_read', () => bob.room(roomId).getAccountData(EventType.FullyRead)?.getContent().event_id === hello)
    })
    await step('alice redacts her message, it is empty for both', async () => {
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
    })
    await step('bob may not redact what alice said', () => refused(bob.client.redactEvent(roomId, hello), 403, 'M_FORBIDDEN'))
  }
}

/** The same request once more, past the client's own bookkeeping of transactions. */
async function sendAgain(person: Person, roomId: string, content: object, txnId: string): Promise<string> {
  const url = new URL(
    `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${txnId}`,
    person.client.getHomeserverUrl(),
  )
  const headers = { authorization: `Bearer ${person.client.getAccessToken()}` }
  const response = await fetch(url, { method: 'PUT', headers, body: JSON.stringify(content) })
  const { event_id } = (await response.json()) as { event_id: string }
  return event_id
}
