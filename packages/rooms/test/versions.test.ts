import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import {
  authEventIds,
  authEventView,
  checkAuthEventsOfPdu,
  checkEventAuth,
  checkPduFormat,
  eventIdOf,
  hasRightContentHash,
  joinPdu,
  makeSigner,
  type Pdu,
  prevEventIds,
  referenceHash,
  requireRoomVersion,
  StateMap,
  stableRoomVersions,
  stateEventView,
  verifyEventSignature,
} from '@weft/matrix'
import { RoomsRig } from './rig.ts'

let rig: RoomsRig
const alice = '@alice:weft.test'
const bob = '@bob:weft.test'
const carol = '@carol:weft.test'
const publicKey = makeSigner('weft.test', 'ed25519:1', Buffer.alloc(32, 7)).publicKey

beforeAll(async () => {
  rig = await RoomsRig.start()
})
afterAll(async () => {
  await rig.stop()
})

const forbidden = { errcode: 'M_FORBIDDEN' }

describe.each(stableRoomVersions)('room version %s', (room_version) => {
  const version = requireRoomVersion(room_version)
  const joinRules = (content: object) => [{ type: 'm.room.join_rules', content: content as never }]

  test('every event of a room is one that another server would take', async () => {
    const roomId = await rig.room(alice, { room_version, preset: 'public_chat', name: 'Loom', invite: [carol] })
    expect(roomId.includes(':')).toBe(!version.roomIdIsCreateHash)
    await rig.memberships.join(bob, roomId)
    await rig.memberships.join(carol, roomId)
    const id = await rig.text(bob, roomId, 'hello')
    // A writer that was started anew has no hash at hand that versions 1 and 2 refer to events with.
    rig = rig.restarted()
    await rig.text(alice, roomId, 'hi')
    await rig.redact(bob, roomId, id, { reason: 'typo' })
    await rig.memberships.kick(alice, carol, roomId, { reason: 'moth' })
    await rig.memberships.leave(bob, roomId)
    const pdus = await pdusOf(roomId)
    expect(pdus.size).toBeGreaterThanOrEqual(13)
    const state = new StateMap()
    for (const [eventId, pdu] of pdus) {
      expect(checkPduFormat(pdu as never, version)).toMatchObject({ ok: true })
      expect(eventIdOf(pdu, version)).toBe(eventId)
      expect(hasRightContentHash(pdu)).toBe(true)
      expect(verifyEventSignature(pdu, version, 'weft.test', 'ed25519:1', publicKey)).toEqual({ ok: true })
      const view = authEventView(pdu, eventId)
      const authEvents = authEventIds(pdu).map((id) => stateEventView(pdus.get(id) as Pdu, id) as never)
      expect(checkAuthEventsOfPdu(version, view, authEvents)).toEqual({ ok: true })
      expect(checkEventAuth(version, view, state)).toEqual({ ok: true })
      expect(prevEventIds(pdu).every((id) => pdus.has(id))).toBe(true)
      for (const reference of [...pdu.prev_events, ...pdu.auth_events]) {
        if (version.eventFormat === 3) expect(typeof reference).toBe('string')
        else expect(reference[1]).toEqual({ sha256: referenceHash(pdus.get(reference[0] as string) as Pdu, version) })
      }
      const entry = stateEventView(pdu, eventId)
      if (entry !== undefined) state.set(entry.type, entry.stateKey, entry)
    }
  })

  test('create and power levels say who the creator is', async () => {
    const roomId = await rig.room(alice, { room_version, preset: 'trusted_private_chat', invite: [bob] })
    const create = await rig.content(alice, roomId, 'm.room.create')
    const { users, events } = await rig.content(alice, roomId, 'm.room.power_levels')
    expect(create.room_version).toBe(room_version)
    expect(create.creator).toBe(version.implicitCreator ? undefined : alice)
    expect(create.additional_creators).toEqual(version.privilegedCreators ? [bob] : undefined)
    expect(users).toEqual(version.privilegedCreators ? {} : { [alice]: 100, [bob]: 100 })
    expect(events).toMatchObject({ 'm.room.tombstone': version.privilegedCreators ? 150 : 100 })
    await rig.memberships.join(bob, roomId)
    await rig.set(bob, roomId, 'm.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })
  })

  test('people join by invitation, or by the public rule', async () => {
    const closed = await rig.room(alice, { room_version })
    await expect(rig.memberships.join(bob, closed)).rejects.toMatchObject(forbidden)
    await rig.memberships.invite(alice, bob, closed, { reason: 'come in' })
    expect(await rig.content(alice, closed, 'm.room.member', bob)).toMatchObject({ membership: 'invite', reason: 'come in' })
    await rig.memberships.join(bob, closed)
    await expect(rig.memberships.ban(bob, alice, closed)).rejects.toMatchObject(forbidden)
    await rig.memberships.ban(alice, bob, closed, { reason: 'moth' })
    expect(await rig.content(alice, closed, 'm.room.member', bob)).toEqual({ membership: 'ban', reason: 'moth' })
    await expect(rig.memberships.join(bob, closed)).rejects.toMatchObject(forbidden)
  })

  test('knocking', async () => {
    const roomId = await rig.room(alice, { room_version, initial_state: joinRules({ join_rule: 'knock' }) })
    const knock = rig.memberships.knock(bob, roomId, { reason: 'please' })
    if (!version.knock) return expect(knock).rejects.toMatchObject(forbidden)
    await knock
    expect(await rig.content(alice, roomId, 'm.room.member', bob)).toMatchObject({ membership: 'knock', reason: 'please' })
    await expect(rig.memberships.join(bob, roomId)).rejects.toMatchObject(forbidden)
    await rig.memberships.invite(alice, bob, roomId)
    await rig.memberships.join(bob, roomId)
    await rig.memberships.knock(carol, roomId)
    await rig.memberships.leave(carol, roomId)
    await rig.memberships.knock(carol, roomId)
    await rig.memberships.kick(alice, carol, roomId)
    expect(await rig.content(alice, roomId, 'm.room.member', carol)).toMatchObject({ membership: 'leave' })
  })

  test.each(['restricted', 'knock_restricted'])('%s joins', async (join_rule) => {
    const known = join_rule === 'restricted' ? version.restrictedJoin : version.knockRestricted
    const club = await rig.room(alice, { room_version, preset: 'public_chat' })
    const rule = { join_rule, allow: [{ type: 'org.example.other' }, { type: 'm.room_membership', room_id: club }] }
    const roomId = await rig.room(alice, { room_version, initial_state: joinRules(rule) })
    await expect(rig.memberships.join(bob, roomId)).rejects.toMatchObject(forbidden)
    await rig.memberships.join(bob, club)
    if (!known) return expect(rig.memberships.join(bob, roomId)).rejects.toMatchObject(forbidden)
    await rig.memberships.join(bob, roomId)
    expect(await rig.content(bob, roomId, 'm.room.member', bob)).toMatchObject({
      membership: 'join',
      join_authorised_via_users_server: alice,
    })
    if (join_rule === 'knock_restricted') await rig.memberships.knock(carol, roomId)
    else await expect(rig.memberships.knock(carol, roomId)).rejects.toMatchObject(forbidden)
    await rig.memberships.join(carol, club)
    // Bob is the only one left, and may invite nobody once only alice may.
    const other = await rig.room(alice, { room_version, initial_state: joinRules(rule), power_level_content_override: { invite: 50 } })
    await rig.memberships.join(bob, other)
    await rig.memberships.leave(alice, other)
    await expect(rig.memberships.join(carol, other)).rejects.toMatchObject({ errcode: 'M_UNABLE_TO_GRANT_JOIN', status: 400 })
  })

  test('redactions through either endpoint take effect, and `redacts` stands where the version has it', async () => {
    const roomId = await rig.room(alice, { room_version, preset: 'public_chat' })
    await rig.memberships.join(bob, roomId)
    const [first, second, mine] = [
      await rig.text(bob, roomId, 'one'),
      await rig.text(bob, roomId, 'two'),
      await rig.text(alice, roomId, 'mine'),
    ]
    await expect(rig.redact(bob, roomId, mine)).rejects.toMatchObject(forbidden)
    const byEndpoint = await rig.redact(alice, roomId, first, { reason: 'moth' })
    const bySend = await rig.messages.send({
      roomId,
      type: 'm.room.redaction',
      content: { redacts: second, reason: 'moth' },
      sender: { userId: bob, deviceId: 'D' },
      txn: { txnId: 'r', path: `/send/${roomId}/r` },
    })
    for (const [target, redaction] of [
      [first, byEndpoint],
      [second, bySend],
    ] as const) {
      const shown = JSON.parse(await rig.reads.event(alice, roomId, target))
      expect(shown.content).toEqual({})
      expect(shown.unsigned.redacted_because).toMatchObject({ event_id: redaction, content: { reason: 'moth' } })
      const { json } = (await rig.events.byId(redaction))!
      const event = JSON.parse(json)
      expect(version.contentRedacts ? event.content.redacts : event.redacts).toBe(target)
      expect(version.contentRedacts ? event.redacts : event.content.redacts).toBeUndefined()
    }
    await expect(rig.redact(alice, roomId, '$nothing')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    const create = (await rig.state.currentAt((await rig.rooms.byRoomId(roomId))!.roomNid, [['m.room.create', '']]))[0]!
    await expect(rig.redact(alice, roomId, create.eventId)).rejects.toMatchObject(forbidden)
  })

  test('a redacted state event counts by what is left of it, now and after a restart', async () => {
    const roomId = await rig.room(alice, { room_version, room_alias_name: `redacted-${room_version}` })
    const levels = await rig.content(alice, roomId, 'm.room.power_levels')
    const setLevels = await rig.set(alice, roomId, 'm.room.power_levels', { ...levels, invite: 50 })
    await rig.memberships.invite(alice, bob, roomId)
    await rig.memberships.join(bob, roomId)
    await rig.redact(alice, roomId, setLevels)
    for (const friend of ['@first:weft.test', '@second:weft.test']) {
      const invite = rig.memberships.invite(bob, friend, roomId)
      // Before version 11 a redaction takes `invite` away, and everybody may.
      if (version.redactionRules === 'v11') await expect(invite).rejects.toMatchObject(forbidden)
      else await invite
      rig = rig.restarted()
    }
  })

  test('power levels as strings are levels up to version 9 only', async () => {
    const strings = { users: { ...(version.privilegedCreators ? {} : { [alice]: '100' }), [bob]: '100' }, state_default: ' 50 ' }
    const create = rig.room(alice, { room_version, preset: 'public_chat', power_level_content_override: strings })
    if (version.powerLevelForm === 'integer') {
      await expect(create).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
      const roomId = await rig.room(alice, { room_version })
      return expect(rig.set(alice, roomId, 'm.room.power_levels', strings)).rejects.toMatchObject({ errcode: 'M_BAD_JSON', status: 400 })
    }
    const roomId = await create
    await rig.memberships.join(bob, roomId)
    await rig.memberships.join(carol, roomId)
    await rig.set(bob, roomId, 'm.room.topic', { topic: 'of strings' })
    await expect(rig.set(carol, roomId, 'm.room.topic', { topic: 'of others' })).rejects.toMatchObject(forbidden)
    await rig.set(bob, roomId, 'm.room.power_levels', { ...strings, users: { [alice]: '100', [bob]: '100', [carol]: '50' } })
    await rig.set(carol, roomId, 'm.room.topic', { topic: 'of others' })
  })

  test('state is put, got and listed, with the level that its type asks for', async () => {
    const override = { events: { 'org.example.open': 0, 'org.example.closed': 75 }, users_default: 0 }
    const roomId = await rig.room(alice, { room_version, preset: 'public_chat', power_level_content_override: override })
    await rig.memberships.join(bob, roomId)
    await rig.set(bob, roomId, 'org.example.open', { by: 'bob', nested: { list: [1, 'two', null, { three: 3 }] } }, 'key')
    await rig.set(alice, roomId, 'org.example.closed', { by: 'alice' })
    await expect(rig.set(bob, roomId, 'org.example.closed', {})).rejects.toMatchObject(forbidden)
    await expect(rig.set(bob, roomId, 'org.example.open', {}, alice)).rejects.toMatchObject(forbidden)
    await rig.set(bob, roomId, 'org.example.open', { own: true }, bob)
    expect(await rig.content(alice, roomId, 'org.example.open', 'key')).toEqual({
      by: 'bob',
      nested: { list: [1, 'two', null, { three: 3 }] },
    })
    const listed = []
    for await (const text of rig.reads.state(await rig.reads.access(bob, roomId))) listed.push(JSON.parse(text))
    const own = listed.filter((event) => event.type.startsWith('org.example.'))
    expect(own.map((event) => [event.type, event.state_key]).sort()).toEqual(
      [
        ['org.example.closed', ''],
        ['org.example.open', 'key'],
        ['org.example.open', bob],
      ].sort(),
    )
    await expect(rig.set(alice, roomId, 'org.example.open', { n: 1.5 as never })).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    await expect(rig.set(alice, roomId, 'org.example.open', { text: 'x'.repeat(66_000) })).rejects.toMatchObject({
      errcode: 'M_TOO_LARGE',
    })
    await expect(rig.set(alice, roomId, 'org.example.open', {}, 'k'.repeat(256))).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
  })

  async function pdusOf(roomId: string): Promise<Map<string, Pdu>> {
    const { roomNid } = (await rig.rooms.byRoomId(roomId))!
    const page = await rig.events.page(roomNid, { direction: 'f', from: 0, until: Number.MAX_SAFE_INTEGER, limit: 1000 })
    const full = await rig.events.fullByNids(page.map((row) => row.eventNid))
    return new Map(
      page.map(({ eventNid }) => {
        const row = full.get(eventNid)!
        return [row.eventId, joinPdu(row.json, row.envelope, roomId, version)]
      }),
    )
  }
})

test('a room whose version this release does not know is refused by its version', async () => {
  const roomId = await rig.room(alice)
  await rig.database.db.query({ name: 'test.version', text: `UPDATE rooms SET room_version = 'org.example.later' WHERE room_id = $1` }, [
    roomId,
  ])
  rig = rig.restarted()
  const incompatible = { errcode: 'M_INCOMPATIBLE_ROOM_VERSION', status: 400, fields: { room_version: 'org.example.later' } }
  await expect(rig.memberships.join(bob, roomId)).rejects.toMatchObject(incompatible)
  await expect(rig.text(alice, roomId, 'hello')).rejects.toMatchObject(incompatible)
  await expect(rig.reads.access(alice, roomId)).rejects.toMatchObject(incompatible)
})
