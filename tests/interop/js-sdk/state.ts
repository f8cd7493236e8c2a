import assert from 'node:assert/strict'
import { EventType, Preset, Visibility } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { refused } from './person.ts'
import { registerAtOnce } from './registration.ts'

export function roomState(cast: Cast): Part {
  return async (step) => {
    const { alice, bob, roomId } = cast
    await step('alice renames the room, bob sees it', async () => {
      await alice.client.setRoomName(roomId, 'Coffee')
      await bob.until('the new name', () => bob.room(roomId).name === 'Coffee')
    })
    await step('alice changes the topic, bob sees it', async () => {
      await alice.client.setRoomTopic(roomId, 'With milk')
      const topic = () => bob.room(roomId).currentState.getStateEvents(EventType.RoomTopic, '')?.getContent().topic
      await bob.until('the new topic', () => topic() === 'With milk')
      assert.equal((await bob.client.getStateEvent(roomId, EventType.RoomTopic, '')).topic, 'With milk')
    })
    await step('bob may not rename it before he has the power, and may after', async () => {
      await refused(bob.client.setRoomName(roomId, 'Bob’s'), 403, 'M_FORBIDDEN')
      await alice.client.setPowerLevel(roomId, bob.id, 50)
      await bob.until('his power', () => bob.room(roomId).getMember(bob.id)?.powerLevel === 50)
      await bob.client.setRoomName(roomId, 'Bob’s')
      await alice.until('the new name', () => alice.room(roomId).name === 'Bob’s')
      const named = alice.room(roomId).currentState.getStateEvents(EventType.RoomName, '')
      assert.equal(named?.getPrevContent().name, 'Coffee')
    })
    await step('all state can be listed', async () => {
      const state = await bob.client.roomState(roomId)
      const types = new Set(state.map((event) => event.type))
      for (const type of ['m.room.create', 'm.room.member', 'm.room.power_levels', 'm.room.name']) assert(types.has(type), type)
    })
  }
}

export function profiles(cast: Cast): Part {
  return async (step) => {
    const { alice, bob, roomId } = cast
    await step('a new display name reaches the room', async () => {
      await alice.client.setDisplayName('Alice Liddell')
      await bob.until('her name', () => bob.room(roomId).getMember(alice.id)?.rawDisplayName === 'Alice Liddell')
      assert.equal((await bob.client.getProfileInfo(alice.id)).displayname, 'Alice Liddell')
    })
    await step('a new avatar reaches the room', async () => {
      await alice.client.setAvatarUrl('mxc://localhost/abcdef')
      await bob.until('her avatar', () => bob.room(roomId).getMember(alice.id)?.getMxcAvatarUrl() === 'mxc://localhost/abcdef')
    })
    await step('a profile has fields of its owner’s choice', async () => {
      assert.equal(await alice.client.doesServerSupportExtendedProfiles(), true)
      await alice.client.setExtendedProfileProperty('org.example.tea', 'green')
      assert.equal(await bob.client.getExtendedProfileProperty(alice.id, 'org.example.tea'), 'green')
      await alice.client.deleteExtendedProfileProperty('org.example.tea')
      assert.deepEqual(Object.keys(await bob.client.getExtendedProfile(alice.id)).sort(), ['avatar_url', 'displayname'])
    })
  }
}

export function ownData(cast: Cast): Part {
  return async (step) => {
    const { alice, bob, roomId } = cast
    await step('the direct rooms are kept in account data', async () => {
      await alice.client.setAccountData(EventType.Direct, { [bob.id]: [roomId] })
      const direct = await alice.until('m.direct', () => alice.client.getAccountData(EventType.Direct)?.getContent())
      assert.deepEqual(direct, { [bob.id]: [roomId] })
      assert.deepEqual(await alice.client.getAccountDataFromServer(EventType.Direct), { [bob.id]: [roomId] })
    })
    await step('a room has account data and tags of each person', async () => {
      await alice.client.setRoomAccountData(roomId, EventType.MarkedUnread, { unread: true })
      await alice.client.setRoomTag(roomId, 'm.favourite', { order: 0.5 })
      await alice.until('the data', () => alice.room(roomId).getAccountData(EventType.MarkedUnread)?.getContent().unread === true)
      await alice.until('the tag', () => alice.room(roomId).tags['m.favourite']?.order === 0.5)
      assert.deepEqual((await alice.client.getRoomTags(roomId)).tags, { 'm.favourite': { order: 0.5 } })
      await alice.client.deleteRoomTag(roomId, 'm.favourite')
      await alice.until('no tag', () => alice.room(roomId).tags['m.favourite'] === undefined)
    })
    await step('a message to a device arrives there, and once', async () => {
      const arrived: unknown[] = []
      bob.client.on('toDeviceEvent' as never, ((event: { getContent(): unknown }) => arrived.push(event.getContent())) as never)
      const content = (n: number) => new Map([[bob.id, new Map([[bob.client.getDeviceId() as string, { n }]])]])
      await alice.client.sendToDevice('org.example.ping', content(1))
      await bob.until('the first', () => arrived.length > 0)
      await alice.client.sendToDevice('org.example.ping', content(2))
      await bob.until('the second', () => arrived.length > 1)
      assert.deepEqual(arrived, [{ n: 1 }, { n: 2 }])
    })
  }
}

export function doors(cast: Cast): Part {
  return async (step) => {
    const { alice, bob, baseUrl } = cast
    const carol = await step('carol comes along', async () => (await registerAtOnce(baseUrl, 'carol')).start())
    const alias = '#square:localhost'
    const square = await step('a public room has an alias, and who knows it joins', async () => {
      const { room_id } = await alice.client.createRoom({
        name: 'Square',
        preset: Preset.PublicChat,
        visibility: Visibility.Private,
        room_alias_name: 'square',
      })
      assert.equal((await carol.client.getRoomIdForAlias(alias)).room_id, room_id)
      await carol.client.joinRoom(alias)
      await carol.seesMembership(room_id, 'join')
      assert.equal(carol.room(room_id).getCanonicalAlias(), alias)
      await alice.seesMembership(room_id, 'join', carol)
      return room_id
    })
    await step('an alias can be removed', async () => {
      await alice.client.createAlias('#plaza:localhost', square)
      assert.deepEqual(new Set((await carol.client.getLocalAliases(square)).aliases), new Set([alias, '#plaza:localhost']))
      await alice.client.deleteAlias('#plaza:localhost')
      await refused(carol.client.getRoomIdForAlias('#plaza:localhost'), 404, 'M_NOT_FOUND')
    })
    await step('alice kicks carol, who may come back', async () => {
      await alice.client.kick(square, carol.id, 'a test')
      await carol.until('the kick', () => carol.client.getRoom(square)?.getMyMembership() === 'leave')
      assert.equal(carol.room(square).getMember(carol.id)?.events.member?.getContent().reason, 'a test')
      await carol.client.joinRoom(square)
      await carol.seesMembership(square, 'join')
    })
    await step('alice bans carol, who may not, until she is unbanned', async () => {
      await alice.client.ban(square, carol.id)
      await carol.until('the ban', () => carol.client.getRoom(square)?.getMyMembership() === 'ban')
      await refused(carol.client.joinRoom(square), 403, 'M_FORBIDDEN')
      await alice.client.unban(square, carol.id)
      await carol.client.joinRoom(square)
      await carol.seesMembership(square, 'join')
    })
    await step('carol rejects an invite', async () => {
      const { room_id } = await bob.client.createRoom({ preset: Preset.PrivateChat, invite: [carol.id], is_direct: true })
      await carol.seesMembership(room_id, 'invite')
      assert.equal(carol.room(room_id).getDMInviter(), bob.id)
      await carol.client.leave(room_id)
      await bob.seesMembership(room_id, 'leave', carol)
    })
    await step('who is ignored is not heard', async () => {
      await alice.client.setIgnoredUsers([carol.id])
      await alice.until('the list', () => alice.client.isUserIgnored(carol.id))
      const unheard = await carol.says(square, 'can you hear me')
      await bob.client.joinRoom(square)
      await alice.sees(square, await bob.says(square, 'fence'))
      assert.equal(alice.room(square).findEventById(unheard), undefined)
      await alice.client.setIgnoredUsers([])
    })
    await step('carol leaves and forgets the room', async () => {
      await carol.client.leave(square)
      await alice.seesMembership(square, 'leave', carol)
      await carol.until('her own leave', () => carol.client.getRoom(square)?.getMyMembership() === 'leave')
      await carol.client.forget(square)
      assert.equal(carol.client.getRoom(square), null)
      assert.deepEqual((await carol.client.getJoinedRooms()).joined_rooms, [])
      await refused(carol.client.roomState(square), 403, 'M_FORBIDDEN')
    })
    await step('carol’s client had nothing to complain about', () => assert.deepEqual(carol.complaints, []))
    carol.stop()
  }
}
