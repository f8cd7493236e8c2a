import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { addEventSignature, type JsonObject, type Pdu, parseJson, RawNumber, roomVersions, signEvent } from '@weft/matrix'
import { type PeerDraft, PeerRoom, SignedPeer } from '@weft/testkit'
import { namedState, ReceiveRig } from './receive-rig.ts'

let rig: ReceiveRig
const versions = [...roomVersions.keys()]
const local = '@local:weft.test'
/** A server whose key has expired. */
const old = new SignedPeer('old.test', { validUntil: 1_600_000_000_000 })

beforeAll(async () => {
  rig = await ReceiveRig.start({ peers: [old] })
})
afterAll(async () => {
  await rig.stop()
})

const alice = () => rig.one.user('alice')
const bob = () => rig.two.user('bob')

/** A room with Alice, who may do all, Bob and a local user in it. */
async function roomOf(version: string): Promise<PeerRoom> {
  const room = await rig.remoteRoom(version)
  await rig.receive(room, [room.join(bob()).eventId])
  return room
}

/** A changed event, hashed and signed as if it had been made so. */
function resigned(room: PeerRoom, draft: PeerDraft, change: (pdu: Pdu) => void, by: SignedPeer = rig.one): Pdu {
  const pdu = structuredClone(room.build(draft, room.stateAfter(draft.prev ?? room.tips)))
  change(pdu)
  return signEvent({ ...pdu, hashes: {}, signatures: {} }, room.version, by.signer)
}

const text = (sender: string, body = 'x'): PeerDraft => ({ type: 'm.room.message', sender, content: { body } })

describe('checks on receipt', () => {
  test.each(versions)('(R01) depth and other numbers outside their range, room version %s', async (version) => {
    const room = await roomOf(version)
    for (const depth of [-1, 2 ** 53, 1.5, new RawNumber('1e3') as never, '7' as never]) {
      const pdu = resigned(room, text(alice()), (event) => {
        event.depth = depth
      })
      expect(await rig.give(room, pdu)).toMatchObject([{ outcome: 'dropped', rule: 'format.depth' }])
    }
    // Odd numbers in the content: refused where the room version asks for canonical JSON, else kept as they were written.
    const odd = resigned(room, text(alice()), (event) => {
      event.content = { body: 'odd', n: new RawNumber('1.50'), big: new RawNumber('9007199254740993'), minus: new RawNumber('-0') }
    })
    const [received] = await rig.give(room, odd)
    if (room.version.strictCanonicalJson) expect(received).toMatchObject({ outcome: 'dropped', rule: 'canonical.number' })
    else {
      expect(received).toMatchObject({ outcome: 'accepted' })
      const { json } = await rig.graphRow(received?.eventId as string)
      expect(json).toContain('"content":{"big":9007199254740993,"body":"odd","minus":-0,"n":1.50}')
    }
    // The greatest depth there is does not keep anybody from sending on.
    const deep = room.message(alice(), 'deep', { depth: Number.MAX_SAFE_INTEGER })
    expect(await rig.receive(room, [deep.eventId])).toMatchObject([{ outcome: 'accepted' }])
    const after = await rig.rooms.text(local, room.roomId, 'on and on')
    expect((await rig.graphRow(after)).depth).toBe(Number.MAX_SAFE_INTEGER)
  })

  test('(R02) one bad event costs only itself', async () => {
    const room = await roomOf('11')
    const good = Array.from({ length: 49 }, (_, i) => room.message(alice(), `m${i}`))
    const pdus = room.pdus(good.map(({ eventId }) => eventId))
    const received = await rig.give(room, ...pdus.slice(0, 20), { nonsense: true }, ...pdus.slice(20))
    expect(received.filter(({ outcome }) => outcome === 'accepted')).toHaveLength(49)
    expect(received[20]).toMatchObject({ outcome: 'dropped', eventId: undefined })
  })

  test.each(['5', '12'])('(R03) strings with NUL and lone surrogates, room version %s', async (version) => {
    const room = await roomOf(version)
    const withNul = resigned(
      room,
      { type: 'a\0b', sender: alice(), stateKey: 'k\0\u0001', content: { body: 'x\0y', __proto__: null } },
      (e) => {
        e.content = parseJson('{"body":"x\\u0000y","__proto__":{"constructor":1}}') as JsonObject
      },
    )
    expect(await rig.give(room, withNul)).toMatchObject([{ outcome: 'accepted' }])
    room.observe(withNul)
    expect(await rig.current(room.roomId)).toEqual(namedState(room.stateAfter(room.tips)))
    const { json } = await rig.graphRow(room.tips[0] as string)
    expect(json).toContain('"content":{"__proto__":{"constructor":1},"body":"x\\u0000y"}')

    const lone = resigned(room, text(alice()), (event) => {
      event.content = { body: '\ud800' }
    })
    expect(await rig.give(room, lone)).toMatchObject([{ outcome: 'dropped', rule: 'canonical.surrogate' }])
    // Names of events that no text column could hold: nobody has such events.
    const reference = room.version.eventFormat === 1 ? ['$\0:one.test', {}] : '$\0'
    const odd = resigned(room, text(alice()), (event) => {
      event.prev_events = [...event.prev_events, reference as never]
    })
    expect(await rig.give(room, odd)).toMatchObject([{ outcome: 'unavailable' }])
  })

  test.each(versions)('(R04) sizes, room version %s', async (version) => {
    const room = await roomOf(version)
    const reference = (n: number) => (room.version.eventFormat === 1 ? [`$e${n}:one.test`, {}] : `$e${n}`) as never
    const outcome = async (draft: PeerDraft, change: (pdu: Pdu) => void) =>
      (await rig.give(room, resigned(room, draft, change)))[0]?.rule ?? 'none'
    const many = (n: number) => Array.from({ length: n }, (_, i) => reference(i))
    expect(await outcome(text(alice()), (e) => (e.auth_events = many(11)))).toBe('format.auth_events')
    expect(await outcome(text(alice()), (e) => (e.prev_events = many(21)))).toBe('format.prev_events')
    expect(await outcome(text(alice()), (e) => (e.type = 'ä'.repeat(128)))).toBe('size.type')
    const state: PeerDraft = { type: 't', sender: alice(), stateKey: '' }
    expect(await outcome(state, (e) => (e.state_key = 'ä'.repeat(128)))).toBe('size.state_key')
    expect(await outcome(text(alice()), (e) => (e.content = { body: 'x'.repeat(66_000) }))).toBe('size.event')
    expect(await outcome(text(alice()), (e) => (e.sender = `@${'a'.repeat(250)}:one.test`))).toBe('format.sender')
  })

  test.each(['3', '12'])('(R05) an event of another room, room version %s', async (version) => {
    const [here, there] = [await roomOf(version), await roomOf(version)]
    const elsewhere = there.message(alice(), 'elsewhere')
    expect(await rig.give(here, elsewhere.pdu)).toMatchObject([{ outcome: 'dropped', rule: 'room.id' }])
    expect(await rig.stored(elsewhere.eventId)).toBeUndefined()
  })

  test('(R05) an id that another room has already, as servers give them in room versions 1 and 2', async () => {
    const [here, there] = [await roomOf('1'), await roomOf('1')]
    const event = there.message(alice(), 'mine')
    await rig.receive(there, [event.eventId])
    const copy = resigned(here, text(alice(), 'stolen'), (pdu) => {
      pdu.event_id = event.eventId
    })
    expect(await rig.give(here, copy)).toMatchObject([{ outcome: 'dropped', rule: 'room.id' }])
  })

  test.each(versions)('(R06) auth events that do not belong there, room version %s', async (version) => {
    const [room, other] = [await roomOf(version), await roomOf(version)]
    await rig.receive(room, [room.message(alice(), 'first').eventId])
    const state = room.stateAfter(room.tips)
    const auth = (...keys: Array<[string, string]>) => keys.flatMap(([type, key]) => state.get(type, key) ?? [])
    const create: Array<[string, string]> = room.version.createNotInAuthEvents ? [] : [['m.room.create', '']]
    const own = auth(...create, ['m.room.power_levels', ''], ['m.room.member', alice()])
    const rejected = room.add({ type: 'm.room.topic', sender: bob(), stateKey: '', content: {} })
    expect(await rig.receive(room, [rejected.eventId])).toMatchObject([{ outcome: 'rejected', rule: 'auth.8' }])
    const foreign = other.stateAfter(other.tips).get('m.room.member', alice()) as string

    const rule = async (authIds: readonly string[]) => {
      const event = room.add({ ...text(alice()), auth: authIds, prev: room.tips.slice(0, 1) })
      const [received] = await rig.receive(room, [event.eventId])
      expect(received?.outcome).toBe('rejected')
      expect(await rig.stored(event.eventId)).toMatchObject({ rejection_reason: received?.rule, stream_ordering: null })
      return received?.rule
    }
    const number = room.version.createNotInAuthEvents ? 'auth.3' : 'auth.2'
    expect(await rule([...own, rejected.eventId])).toBe(`${number}.2`)
    expect(await rule([...own, state.get('m.room.member', bob()) as string])).toBe(`${number}.2`)
    if (version !== '1' && version !== '2') {
      const foreignAuth = [...own.slice(0, -1), foreign]
      const event = room.build({ ...text(alice()), auth: foreignAuth }, state)
      expect(await rig.give(room, event)).toMatchObject([{ outcome: 'rejected', rule: `${number}.5` }])
    }
    if (!room.version.createNotInAuthEvents) expect(await rule(own.slice(1))).toBe('auth.2.4')
    else expect(await rule([...own, state.get('m.room.create', '') as string])).toBe('auth.3.2')
  })

  test.each(versions)('(R07) signatures, room version %s', async (version) => {
    const room = await roomOf(version)
    const impostor = new SignedPeer('one.test', { seed: Buffer.alloc(32, 9) })
    const outcome = async (draft: Partial<PeerDraft>) => {
      const pdu = room.build({ ...text(alice(), String(Math.random())), ...draft }, room.stateAfter(room.tips))
      return (await rig.give(room, pdu))[0]
    }
    const refused = { outcome: 'dropped', rule: 'signature' }
    expect(await outcome({ signedBy: impostor })).toMatchObject(refused)
    expect(await outcome({ signedBy: rig.two })).toMatchObject(refused)
    expect(await outcome({ spoil: (pdu) => ({ ...pdu, signatures: {} }) })).toMatchObject(refused)
    expect(await outcome({ spoil: (pdu) => ({ ...pdu, depth: pdu.depth + 1 }) })).toMatchObject(refused)
    expect(await outcome({ sender: alice() })).toMatchObject({ outcome: 'accepted' })
  })

  test.each(versions)('(R07) a key that was no longer valid, room version %s', async (version) => {
    const room = await rig.remoteRoom(version)
    const olga = old.user('olga')
    const early = room.add({ type: 'm.room.member', sender: olga, stateKey: olga, content: { membership: 'join' }, ts: 1_500_000_000_000 })
    expect(await rig.receive(room, [early.eventId])).toMatchObject([{ outcome: 'accepted' }])
    const late = room.message(olga, 'late')
    const outcome = room.version.enforceKeyValidity ? 'dropped' : 'accepted'
    expect(await rig.receive(room, [late.eventId])).toMatchObject([{ outcome }])
  })

  test.each(['8', '12'])('(R07) a restricted join without the signature of who lets in, room version %s', async (version) => {
    const room = await roomOf(version)
    const rules = { join_rule: 'restricted', allow: [] }
    await rig.receive(room, [room.add({ type: 'm.room.join_rules', sender: alice(), stateKey: '', content: rules }).eventId])
    const carol = rig.two.user('carol')
    const join: PeerDraft = {
      type: 'm.room.member',
      sender: carol,
      stateKey: carol,
      content: { membership: 'join', join_authorised_via_users_server: alice() },
    }
    const state = room.stateAfter(room.tips)
    expect(await rig.give(room, room.build(join, state))).toMatchObject([{ outcome: 'dropped', rule: 'signature' }])
    const signed = room.build({ ...join, spoil: (pdu) => addEventSignature(pdu, room.version, rig.one.signer) }, state)
    expect(await rig.give(room, signed)).toMatchObject([{ outcome: 'accepted' }])
  })

  test.each(versions)('(R08) what was hashed otherwise is kept redacted, room version %s', async (version) => {
    const room = await roomOf(version)
    const changed = room.build(
      { ...text(alice(), 'true'), spoil: (pdu) => ({ ...pdu, content: { body: 'false', more: 1 } }) },
      room.stateAfter(room.tips),
    )
    const [received] = await rig.give(room, changed)
    expect(received).toMatchObject({ outcome: 'accepted' })
    expect(JSON.parse((await rig.graphRow(received?.eventId as string)).json).content).toEqual({})
    expect(await rig.rooms.bodies(local, room.roomId)).toEqual([undefined])
  })
})

describe('unknown and refused rooms', () => {
  test("a room that is not here is nobody's to open but the caller's", async () => {
    const room = PeerRoom.create(alice(), { version: '11', peers: rig.peers, name: 'stranger' })
    const request = { roomId: room.roomId, pdus: room.pdus() }
    await expect(rig.receiver.receive(request)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(rig.receiver.open({ ...request, roomVersion: '99' })).rejects.toMatchObject({ errcode: 'M_UNSUPPORTED_ROOM_VERSION' })
    await expect(rig.receiver.open({ ...request, roomVersion: '12' })).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    await expect(rig.receiver.receive(request)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  test('(R15) a server that the room shuts out brings nothing in', async () => {
    const room = await roomOf('11')
    const deny = [...Array.from({ length: 2000 }, (_, i) => `*${i}.example`), 'TWO.*']
    const acl = room.add({ type: 'm.room.server_acl', sender: alice(), stateKey: '', content: { allow: ['*'], deny } })
    await rig.receive(room, [acl.eventId])
    const event = room.message(bob(), 'let me in')
    const request = { roomId: room.roomId, pdus: room.pdus([event.eventId]) }
    await expect(rig.receiver.receive({ ...request, origin: 'two.test' })).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    expect(await rig.receiver.receive({ ...request, origin: 'one.test' })).toMatchObject([{ outcome: 'accepted' }])
  })

  test('(H1) creators cannot be given a level, and are above all of them, from room version 12 on', async () => {
    const room = await roomOf('12')
    const levels = (users: JsonObject): PeerDraft => ({ type: 'm.room.power_levels', sender: alice(), stateKey: '', content: { users } })
    expect(await rig.receive(room, [room.add(levels({ [alice()]: 100 })).eventId])).toMatchObject([{ outcome: 'rejected' }])
    const raised = room.add({ ...levels({ [bob()]: 1000 }), prev: room.tips.slice(0, 1) })
    expect(await rig.receive(room, [raised.eventId])).toMatchObject([{ outcome: 'accepted' }])
    const kick: PeerDraft = { type: 'm.room.member', sender: bob(), stateKey: alice(), content: { membership: 'leave' } }
    expect(await rig.receive(room, [room.add(kick).eventId])).toMatchObject([{ outcome: 'rejected' }])
  })
})
