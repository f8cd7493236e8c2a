import assert from 'node:assert/strict'
import { ClientEvent, EventType } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { refused } from './person.ts'

export function roomState(): Part<Cast> {
  return {
    async 'alice renames the room, bob sees it'({ alice, bob, roomId }) {
      await alice.client.setRoomName(roomId, 'Coffee')
      await bob.until('the new name', () => bob.room(roomId).name === 'Coffee')
    },
    async 'alice changes the topic, bob sees it'({ alice, bob, roomId }) {
      await alice.client.setRoomTopic(roomId, 'With milk')
      const topic = () => bob.room(roomId).currentState.getStateEvents(EventType.RoomTopic, '')?.getContent().topic
      await bob.until('the new topic', () => topic() === 'With milk')
      assert.equal((await bob.client.getStateEvent(roomId, EventType.RoomTopic, '')).topic, 'With milk')
    },
    async 'bob may not rename it before he has the power, and may after'({ alice, bob, roomId }) {
      await refused(bob.client.setRoomName(roomId, 'Bob’s'), 403, 'M_FORBIDDEN')
      await alice.client.setPowerLevel(roomId, bob.id, 50)
      await bob.until('his power', () => bob.room(roomId).getMember(bob.id)?.powerLevel === 50)
      await bob.client.setRoomName(roomId, 'Bob’s')
      await alice.until('the new name', () => alice.room(roomId).name === 'Bob’s')
      const named = alice.room(roomId).currentState.getStateEvents(EventType.RoomName, '')
      assert.equal(named?.getPrevContent().name, 'Coffee')
    },
    async 'all state can be listed'({ bob, roomId }) {
      const types = new Set((await bob.client.roomState(roomId)).map((event) => event.type))
      for (const type of ['m.room.create', 'm.room.member', 'm.room.power_levels', 'm.room.name']) assert(types.has(type), type)
    },
  }
}

export function profiles(): Part<Cast> {
  return {
    async 'a new display name reaches the room'({ alice, bob, roomId }) {
      await alice.client.setDisplayName('Alice Liddell')
      await bob.until('her name', () => bob.room(roomId).getMember(alice.id)?.rawDisplayName === 'Alice Liddell')
      assert.equal((await bob.client.getProfileInfo(alice.id)).displayname, 'Alice Liddell')
    },
    async 'a new avatar reaches the room'({ alice, bob, roomId }) {
      await alice.client.setAvatarUrl('mxc://localhost/abcdef')
      await bob.until('her avatar', () => bob.room(roomId).getMember(alice.id)?.getMxcAvatarUrl() === 'mxc://localhost/abcdef')
    },
    async 'a profile has fields of its owner’s choice'({ alice, bob }) {
      assert.equal(await alice.client.doesServerSupportExtendedProfiles(), true)
      await alice.client.setExtendedProfileProperty('org.example.tea', 'green')
      assert.equal(await bob.client.getExtendedProfileProperty(alice.id, 'org.example.tea'), 'green')
      await alice.client.deleteExtendedProfileProperty('org.example.tea')
      assert.deepEqual(Object.keys(await bob.client.getExtendedProfile(alice.id)).sort(), ['avatar_url', 'displayname'])
    },
  }
}

export function ownData(): Part<Cast> {
  return {
    async 'the direct rooms are kept in account data'({ alice, bob, roomId }) {
      await alice.client.setAccountData(EventType.Direct, { [bob.id]: [roomId] })
      const direct = await alice.until('m.direct', () => alice.client.getAccountData(EventType.Direct)?.getContent())
      assert.deepEqual(direct, { [bob.id]: [roomId] })
      assert.deepEqual(await alice.client.getAccountDataFromServer(EventType.Direct), { [bob.id]: [roomId] })
    },
    async 'a room has account data and tags of each person'({ alice, bob, roomId }) {
      await alice.client.setRoomAccountData(roomId, EventType.MarkedUnread, { unread: true })
      await alice.client.setRoomTag(roomId, 'm.favourite', { order: 0.5 })
      await alice.until('the data', () => alice.room(roomId).getAccountData(EventType.MarkedUnread)?.getContent().unread === true)
      await alice.until('the tag', () => alice.room(roomId).tags['m.favourite']?.order === 0.5)
      assert.deepEqual((await alice.client.getRoomTags(roomId)).tags, { 'm.favourite': { order: 0.5 } })
      assert.deepEqual((await bob.client.getRoomTags(roomId)).tags, {})
      await alice.client.deleteRoomTag(roomId, 'm.favourite')
      await alice.until('no tag', () => alice.room(roomId).tags['m.favourite'] === undefined)
    },
    async 'a message to a device arrives there, and once'({ alice, bob }) {
      const arrived: unknown[] = []
      bob.client.on(ClientEvent.ToDeviceEvent, (event) => arrived.push(event.getContent()))
      const content = (n: number) => new Map([[bob.id, new Map([[bob.client.getDeviceId() as string, { n }]])]])
      await alice.client.sendToDevice('org.example.ping', content(1))
      await bob.until('the first', () => arrived.length > 0)
      await alice.client.sendToDevice('org.example.ping', content(2))
      await bob.until('the second', () => arrived.length > 1)
      assert.deepEqual(arrived, [{ n: 1 }, { n: 2 }])
    },
  }
}
