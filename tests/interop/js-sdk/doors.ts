import assert from 'node:assert/strict'
import { Preset, Visibility } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { type Person, refused } from './person.ts'
import { registerAtOnce } from './registration.ts'

const alias = '#square:localhost'

/** Ways into rooms and out of them, by a third person. */
export function doors(): Part<Cast> {
  let carol: Person
  let square = ''
  return {
    async 'carol comes along'({ baseUrl }) {
      carol = await (await registerAtOnce(baseUrl, 'carol')).start()
    },
    async 'a public room has an alias, and who knows it joins'({ alice }) {
      const { room_id } = await alice.client.createRoom({
        name: 'Square',
        preset: Preset.PublicChat,
        visibility: Visibility.Private,
        room_alias_name: 'square',
      })
      square = room_id
      assert.equal((await carol.client.getRoomIdForAlias(alias)).room_id, square)
      await carol.client.joinRoom(alias)
      await carol.seesMembership(square, 'join')
      assert.equal(carol.room(square).getCanonicalAlias(), alias)
      await alice.seesMembership(square, 'join', carol)
    },
    async 'an alias can be removed'({ alice }) {
      await alice.client.createAlias('#plaza:localhost', square)
      assert.deepEqual(new Set((await carol.client.getLocalAliases(square)).aliases), new Set([alias, '#plaza:localhost']))
      await alice.client.deleteAlias('#plaza:localhost')
      await refused(carol.client.getRoomIdForAlias('#plaza:localhost'), 404, 'M_NOT_FOUND')
    },
    async 'alice kicks carol, who may come back'({ alice }) {
      await alice.client.kick(square, carol.id, 'a test')
      await carol.until('the kick', () => carol.client.getRoom(square)?.getMyMembership() === 'leave')
      assert.equal(carol.room(square).getMember(carol.id)?.events.member?.getContent().reason, 'a test')
      await carol.client.joinRoom(square)
      await carol.seesMembership(square, 'join')
    },
    async 'alice bans carol, who may not, until she is unbanned'({ alice }) {
      await alice.client.ban(square, carol.id)
      await carol.until('the ban', () => carol.client.getRoom(square)?.getMyMembership() === 'ban')
      await refused(carol.client.joinRoom(square), 403, 'M_FORBIDDEN')
      await alice.client.unban(square, carol.id)
      await carol.client.joinRoom(square)
      await carol.seesMembership(square, 'join')
    },
    async 'carol rejects an invite'({ bob }) {
      const { room_id } = await bob.client.createRoom({ preset: Preset.PrivateChat, invite: [carol.id], is_direct: true })
      await carol.seesMembership(room_id, 'invite')
      assert.equal(carol.room(room_id).getDMInviter(), bob.id)
      await carol.client.leave(room_id)
      await bob.seesMembership(room_id, 'leave', carol)
    },
    async 'carol knocks, alice lets her in'({ alice }) {
      const { room_id } = await alice.client.createRoom({
        preset: Preset.PrivateChat,
        initial_state: [{ type: 'm.room.join_rules', state_key: '', content: { join_rule: 'knock' } }],
      })
      await carol.client.knockRoom(room_id, { reason: 'It is raining' })
      await alice.seesMembership(room_id, 'knock', carol)
      await alice.client.invite(room_id, carol.id)
      await carol.seesMembership(room_id, 'invite')
      await carol.client.joinRoom(room_id)
      await carol.seesMembership(room_id, 'join')
      await carol.client.leave(room_id)
    },
    async 'who is ignored is not heard'({ alice, bob }) {
      await alice.client.setIgnoredUsers([carol.id])
      await alice.until('the list', () => alice.client.isUserIgnored(carol.id))
      const unheard = await carol.says(square, 'can you hear me')
      await bob.client.joinRoom(square)
      await bob.seesMembership(square, 'join')
      await alice.sees(square, await bob.says(square, 'fence'))
      assert.equal(alice.room(square).findEventById(unheard), undefined)
      await alice.client.setIgnoredUsers([])
    },
    async 'carol leaves and forgets the room'({ alice }) {
      await carol.client.leave(square)
      await alice.seesMembership(square, 'leave', carol)
      await carol.until('her own leave', () => carol.client.getRoom(square)?.getMyMembership() === 'leave')
      await carol.client.forget(square)
      assert.equal(carol.client.getRoom(square), null)
      assert.deepEqual((await carol.client.getJoinedRooms()).joined_rooms, [])
      await refused(carol.client.roomState(square), 403, 'M_FORBIDDEN')
    },
    'carol’s client had nothing to complain about'() {
      carol.stop()
      assert.deepEqual(carol.complaints, [])
    },
  }
}
