import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  canonicalJson,
  checkPduFormat,
  clientEventText,
  contentHash,
  type EventParts,
  eventIdOf,
  eventSizeProblem,
  formatSigningKeyFile,
  hasRightContentHash,
  type JsonObject,
  type JsonValue,
  joinPdu,
  makeSigner,
  makeVerifier,
  parseJson,
  parseSigningKeyFile,
  pduText,
  RawNumber,
  type RoomVersion,
  redact,
  redactContent,
  requiredSigners,
  roomIdOf,
  roomVersions,
  signEvent,
  signJson,
  splitPdu,
  verifyEventSignature,
  verifyJson,
  verifySignature,
  withAge,
} from '../src/index.ts'
import { ALICE, build, messageParts, pdu, ROOM, SPEC_SEED, specSigner, v } from './fixtures.ts'

const versions: Array<[string, RoomVersion]> = [...roomVersions]

describe('signing, vectors of the spec (appendices, "Cryptographic Test Vectors")', () => {
  test.each([
    [{}, 'K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ'],
    [{ one: 1, two: 'Two' }, 'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw'],
  ])('signs %j', (object, signature) => {
    const signed = signJson(object, specSigner)
    expect(signed).toEqual({ ...object, signatures: { domain: { 'ed25519:1': signature } } })
    expect(verifyJson(signed, 'domain', 'ed25519:1', specSigner.publicKey).ok).toBe(true)
  })

  test('signs the minimal event', () => {
    const signed = signEvent(
      pdu({
        room_id: '!x:domain',
        sender: '@a:domain',
        origin: 'domain',
        origin_server_ts: 1000000,
        signatures: {},
        hashes: {},
        type: 'X',
        content: {},
        prev_events: [],
        auth_events: [],
        depth: 3,
        unsigned: { age_ts: 1000000 },
      }),
      v('1'),
      specSigner,
    )
    expect(signed.hashes).toEqual({ sha256: '5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos' })
    expect(signed.signatures).toEqual({
      domain: { 'ed25519:1': 'KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg' },
    })
    expect(signed.unsigned).toEqual({ age_ts: 1000000 })
  })

  test('signs the event with redactable content', () => {
    const signed = signEvent(
      pdu({
        content: { body: 'Here is the message content' },
        event_id: '$0:domain',
        origin: 'domain',
        origin_server_ts: 1000000,
        type: 'm.room.message',
        room_id: '!r:domain',
        sender: '@u:domain',
        signatures: {},
        unsigned: { age_ts: 1000000 },
      }),
      v('1'),
      specSigner,
    )
    expect(signed.hashes).toEqual({ sha256: 'onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g' })
    expect(signed.signatures).toEqual({
      domain: { 'ed25519:1': 'Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA' },
    })
  })
})

describe('signatures', () => {
  test('a signature more keeps those there are, on keys named like prototypes too (R43)', () => {
    const odd = makeSigner('__proto__', 'ed25519:1', new Uint8Array(32).fill(7))
    const signed = signJson(signJson({ a: 1, unsigned: { b: 2 } }, specSigner), odd)
    expect(Object.keys(signed.signatures as JsonObject)).toEqual(['domain', '__proto__'])
    expect(verifyJson(signed, 'domain', 'ed25519:1', specSigner.publicKey).ok).toBe(true)
    expect(verifyJson(signed, '__proto__', 'ed25519:1', odd.publicKey).ok).toBe(true)
    expect(verifyJson({ ...signed, unsigned: {} }, 'domain', 'ed25519:1', specSigner.publicKey).ok).toBe(true)
    expect(verifyJson({ ...signed, a: 2 }, 'domain', 'ed25519:1', specSigner.publicKey).ok).toBe(false)
  })

  test('R07 malformed keys and signatures are no match and no exception', () => {
    const bytes = Buffer.from('x')
    const good = specSigner.sign(bytes)
    expect(verifySignature(specSigner.publicKey, bytes, good)).toBe(true)
    for (const key of ['', 'AAAA', '!', 'A'.repeat(44)]) expect(verifySignature(key, bytes, good)).toBe(false)
    for (const bad of ['', '!', good.slice(1), `${good.slice(0, -3)}AAA`])
      expect(verifySignature(specSigner.publicKey, bytes, bad)).toBe(false)
    expect(makeVerifier('AAAA')).toBeUndefined()
    expect(verifyJson({ signatures: { domain: { 'ed25519:1': 5 } } }, 'domain', 'ed25519:1', specSigner.publicKey).ok).toBe(false)
    expect(verifyJson({ signatures: [] }, 'domain', 'constructor', specSigner.publicKey).ok).toBe(false)
  })

  test('R07 who has to sign', () => {
    const base = { type: 'm.room.message', sender: '@a:one', content: {}, event_id: '$x:two', signatures: {} }
    expect(requiredSigners(pdu(base), v('11'))).toEqual(['one'])
    expect(requiredSigners(pdu(base), v('2'))).toEqual(['one', 'two'])
    const join = { ...base, type: 'm.room.member', content: { membership: 'join', join_authorised_via_users_server: '@b:three' } }
    expect(requiredSigners(pdu(join), v('8'))).toEqual(['one', 'three'])
    expect(requiredSigners(pdu(join), v('7'))).toEqual(['one'])
    const invite = { ...base, type: 'm.room.member', content: { membership: 'invite', third_party_invite: { signed: {} } } }
    expect(requiredSigners(pdu(invite), v('11'))).toEqual([])
  })

  test('signing key files', () => {
    const text = 'ed25519 a_abcd YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1\n'
    const keys = parseSigningKeyFile(`\n${text}`)
    expect(keys).toEqual([{ keyId: 'ed25519:a_abcd', seed: SPEC_SEED }])
    // The spec's seed has stray bits at its end, which a canonical encoding has not.
    expect(parseSigningKeyFile(formatSigningKeyFile(keys))).toEqual(keys)
    expect(formatSigningKeyFile(keys)).toBe(text.replace('XA1', 'XA0'))
    for (const bad of ['', 'ed25519 a', 'rsa a YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1', 'ed25519 a YJDB', `${text.trim()} x`]) {
      expect(() => parseSigningKeyFile(bad)).toThrow(/signing key file/)
    }
  })
})

describe('building events', () => {
  const cases: Array<[string, Partial<EventParts>]> = [
    ['a message', {}],
    ['a state event', { type: 'm.room.topic', stateKey: '', content: { topic: 'é "q" \u{1f600} \u0000' } }],
    ['a member', { type: 'm.room.member', stateKey: ALICE, content: { membership: 'join', displayname: 'A' } }],
    ['power levels', { type: 'm.room.power_levels', stateKey: '', content: { users: { [ALICE]: 100 }, invite: 50, notifications: {} } }],
    ['a redaction', { type: 'm.room.redaction', content: { redacts: '$x', reason: 'r' }, redacts: '$x:domain' }],
    ['odd names', { type: '__proto__', stateKey: 'constructor', content: JSON.parse('{"__proto__":{"a":1}}') as JsonObject }],
  ]

  describe.each(versions)('room version %s', (_id, version) => {
    test.each(cases)('%s is what the slow way makes', (_name, changes) => {
      const parts = messageParts(version, version.contentRedacts ? { ...changes, redacts: undefined } : changes)
      const built = build(version, parts)
      const slow = signEvent(pdu({ ...(built.pdu as JsonObject), hashes: {}, signatures: {} }), version, specSigner)
      expect(built.pdu).toEqual(slow)
      expect(built.eventId).toBe(eventIdOf(slow, version))
      expect(hasRightContentHash(built.pdu)).toBe(true)
      expect(verifyEventSignature(built.pdu, version, 'domain', 'ed25519:1', specSigner.publicKey).ok).toBe(true)
      const texts = splitPdu(built.pdu)
      expect(built.clientJson).toBe(texts.clientJson)
      expect(built.envelopeJson).toBe(texts.envelopeJson)
      expect(joinPdu(built.clientJson, built.envelopeJson, built.roomId, version)).toEqual(built.pdu)
      expect(parseJson(pduText(built, { type: parts.type, roomId: built.roomId }, version))).toEqual(built.pdu)
      expect(checkPduFormat(built.pdu as JsonValue, version)).toEqual({ ok: true, pdu: built.pdu })
    })

    test('signature and event id survive redaction', () => {
      const built = build(version)
      const redacted = redact(built.pdu, version)
      expect(redacted.content).toEqual({})
      expect(eventIdOf(redacted, version)).toBe(built.eventId)
      expect(verifyEventSignature(redacted, version, 'domain', 'ed25519:1', specSigner.publicKey).ok).toBe(true)
      expect(hasRightContentHash(redacted)).toBe(false)
    })
  })

  test('H2 a create event of room version 12 makes its room id', () => {
    const built = build(v('12'), {
      roomId: undefined,
      type: 'm.room.create',
      stateKey: '',
      content: { room_version: '12' },
      authEvents: [],
      prevEvents: [],
    })
    expect(built.roomId).toBe(`!${built.eventId.slice(1)}`)
    expect(built.pdu.room_id).toBeUndefined()
    expect(roomIdOf(built.pdu, v('12'))).toBe(built.roomId)
    expect(joinPdu(built.clientJson, built.envelopeJson, built.roomId, v('12'))).toEqual(built.pdu)
    expect(parseJson(pduText(built, { type: 'm.room.create', roomId: built.roomId }, v('12')))).toEqual(built.pdu)
  })

  test('R01 content that is not canonical is never sent, in no room version', () => {
    for (const [, version] of versions) {
      for (const content of [{ a: 1.5 }, { a: new RawNumber('1e3') }, { a: 2 ** 53 }, { a: '\ud800' }]) {
        expect(() => build(version, { content })).toThrow(/canonical/)
      }
    }
  })

  test.each<[string, Partial<EventParts>]>([
    ['the whole event', { content: { body: 'a'.repeat(65_600) } }],
    ['in bytes', { content: { body: 'é'.repeat(32_700) } }],
    ['the type', { type: 't'.repeat(256) }],
    ['the type in bytes', { type: 'é'.repeat(128) }],
    ['the state key', { stateKey: 'k'.repeat(256) }],
    ['the sender', { sender: `@${'s'.repeat(250)}:domain` }],
  ])('R04 too large: %s', (_name, changes) => {
    expect(() => build(v('11'), changes)).toThrow(/too large/)
    expect(() => build(v('11'), changes)).toThrow(expect.objectContaining({ errcode: 'M_TOO_LARGE', status: 413 }))
  })

  test('R04 the limit is 65,536 bytes exactly', () => {
    for (const version of [v('11'), v('12')]) {
      const empty = build(version, { content: { body: '' } })
      const room = 65_536 - Buffer.byteLength(canonicalJson(empty.pdu as JsonObject))
      const full = build(version, { content: { body: 'a'.repeat(room) } })
      expect(Buffer.byteLength(canonicalJson(full.pdu as JsonObject))).toBe(65_536)
      expect(() => build(version, { content: { body: 'a'.repeat(room + 1) } })).toThrow(/too large/)
    }
  })

  test('sizes of a received event', () => {
    const built = build(v('11'))
    const sized = { ...built, type: 'm.room.message', sender: ALICE }
    expect(eventSizeProblem(sized, v('11'))).toBeUndefined()
    expect(eventSizeProblem({ ...sized, eventId: `$${'x'.repeat(255)}` }, v('11'))?.rule).toBe('size.event_id')
    expect(eventSizeProblem({ ...sized, roomId: `!${'x'.repeat(255)}` }, v('11'))?.rule).toBe('size.room_id')
  })
})

describe('the two texts of an event', () => {
  test('unknown keys are kept for the hash, unsigned is not', () => {
    const built = build(v('10'))
    const odd = signEvent(
      pdu({ ...(built.pdu as JsonObject), origin: 'domain', ['__proto__']: 1, extra: { a: [1] }, unsigned: { age: 5 } }),
      v('10'),
      specSigner,
    )
    const { clientJson, envelopeJson } = splitPdu(odd)
    expect(Object.keys(parseJson(clientJson) as JsonObject)).toEqual(['content', 'origin_server_ts', 'sender', 'type'])
    const { unsigned: _unsigned, ...rest } = odd
    const joined = joinPdu(clientJson, envelopeJson, ROOM, v('10'))
    expect(joined).toEqual(rest)
    expect(eventIdOf(joined, v('10'))).toBe(eventIdOf(odd, v('10')))
    expect(hasRightContentHash(joined)).toBe(true)
  })

  test('R01 numbers of old rooms keep their source text', () => {
    const received = pdu({
      ...(build(v('5')).pdu as JsonObject),
      content: parseJson('{"a":1e3,"b":-0,"c":12345678901234567890,"d":0.10}') as JsonObject,
    })
    const { clientJson, envelopeJson } = splitPdu(received)
    expect(clientJson).toContain('{"a":1e3,"b":-0,"c":12345678901234567890,"d":0.10}')
    expect(contentHash(joinPdu(clientJson, envelopeJson, ROOM, v('5')))).toBe(contentHash(received))
  })

  test('the client format is spliced', () => {
    const built = build(v('11'))
    const text = clientEventText(built.clientJson, { eventId: built.eventId, roomId: '!"odd":x', unsignedJson: '{"age":1}' })
    expect(JSON.parse(text)).toEqual({
      content: built.pdu.content,
      origin_server_ts: built.pdu.origin_server_ts,
      sender: ALICE,
      type: 'm.room.message',
      event_id: built.eventId,
      room_id: '!"odd":x',
      unsigned: { age: 1 },
    })
    expect(JSON.parse(clientEventText(built.clientJson, { eventId: built.eventId }))).not.toHaveProperty('room_id')
    const plain = clientEventText(built.clientJson, { eventId: built.eventId })
    expect(JSON.parse(withAge(plain, 7.9))).toEqual({ ...JSON.parse(plain), unsigned: { age: 7 } })
    const quoting = clientEventText(built.clientJson, { eventId: built.eventId, unsignedJson: '{"prev_content":{}}' })
    expect(JSON.parse(withAge(quoting, -5))).toEqual({ ...JSON.parse(plain), unsigned: { prev_content: {}, age: 0 } })
  })

  test('any PDU comes back', () => {
    const content = fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: 'grapheme' }), fc.maxSafeInteger(), fc.constant(null)))
    fc.assert(
      fc.property(content, content, fc.constantFrom(...roomVersions.values()), (body, extra, version) => {
        const whole = pdu({ ...extra, ...(build(version, { content: body as JsonObject }).pdu as JsonObject) })
        delete whole.unsigned
        const { clientJson, envelopeJson } = splitPdu(whole)
        const joined = joinPdu(clientJson, envelopeJson, whole.room_id as string, version)
        expect(canonicalJson(joined as JsonObject)).toBe(canonicalJson(whole as JsonObject))
      }),
    )
  })
})

describe('the format of received events', () => {
  const good = build(v('11')).pdu as JsonObject
  test.each<[string, JsonObject]>([
    ['R01 a depth below 0', { depth: -1 }],
    ['R01 a depth beyond 2^53-1', { depth: new RawNumber('9007199254740992') }],
    ['R01 a float as depth', { depth: new RawNumber('1.0') }],
    ['R01 a depth as text', { depth: '5' }],
    ['R01 a float in content', { content: { a: new RawNumber('1.5') } }],
    ['R01 a float outside content', { extra: [new RawNumber('1e3')] }],
    ['R01 -0 among the hashes', { hashes: { sha256: 'x', y: new RawNumber('-0') } }],
    ['R03 a lone surrogate', { content: { a: '\ud800' } }],
    ['R04 eleven auth events', { auth_events: Array.from({ length: 11 }, (_, i) => `$${i}`) }],
    ['R04 21 prev events', { prev_events: Array.from({ length: 21 }, (_, i) => `$${i}`) }],
    ['R04 a long type', { type: 'é'.repeat(128) }],
    ['R04 a long state key', { state_key: 'x'.repeat(256) }],
    ['R04 a long sender', { sender: `@${'x'.repeat(255)}:domain` }],
    ['auth events that are pairs', { auth_events: [['$x', {}]] }],
    ['prev events that are no list', { prev_events: {} }],
    ['R30 a type that is no string', { type: 5 }],
    ['R30 a state key that is no string', { state_key: null }],
    ['R30 content that is no object', { content: [] }],
    ['R30 hashes that are no object', { hashes: null }],
    ['R30 signatures that are no object', { signatures: 'x' }],
    ['R30 unsigned that is no object', { unsigned: 1 }],
    ['a sender that is no user id', { sender: 'alice' }],
    ['a timestamp that is no integer', { origin_server_ts: '1' }],
    ['a room id that is none', { room_id: 'room' }],
    ['H2 a room id of room version 12', { room_id: `!${'r'.repeat(43)}` }],
  ])('%s', (_name, changes) => {
    expect(checkPduFormat({ ...good, ...changes }, v('11')).ok).toBe(false)
  })

  test('no object at all', () => {
    for (const value of [null, [], 'x', 1, new RawNumber('1.5')]) expect(checkPduFormat(value, v('11')).ok).toBe(false)
  })

  test('R01 rooms before version 6 have numbers of all kinds, but in depth', () => {
    const old = build(v('5')).pdu as JsonObject
    expect(checkPduFormat({ ...old, content: { a: new RawNumber('1e3') } }, v('5')).ok).toBe(true)
    expect(checkPduFormat({ ...old, depth: new RawNumber('9223372036854775807') }, v('5')).ok).toBe(false)
    expect(checkPduFormat({ ...old, content: { a: '\ud800' } }, v('5')).ok).toBe(false)
  })

  test('what unsigned holds costs no event', () => {
    expect(checkPduFormat({ ...good, unsigned: { age: new RawNumber('1.5') } }, v('11')).ok).toBe(true)
  })

  test('H2 rooms of version 12', () => {
    const event = build(v('12')).pdu as JsonObject
    expect(checkPduFormat(event, v('12')).ok).toBe(true)
    expect(checkPduFormat({ ...event, room_id: ROOM }, v('12')).ok).toBe(false)
    const { room_id: _roomId, ...without } = event
    expect(checkPduFormat(without, v('12')).ok).toBe(false)
    expect(checkPduFormat({ ...without, type: 'm.room.create' }, v('12')).ok).toBe(true)
    expect(checkPduFormat({ ...event, type: 'm.room.create' }, v('12')).ok).toBe(false)
  })
})

describe('redaction', () => {
  const content = (keys: string[]): JsonObject => Object.fromEntries(keys.map((key) => [key, key]))
  const all = content([
    'membership',
    'join_authorised_via_users_server',
    'creator',
    'room_version',
    'join_rule',
    'allow',
    'ban',
    'events',
    'events_default',
    'invite',
    'kick',
    'redact',
    'state_default',
    'users',
    'users_default',
    'notifications',
    'history_visibility',
    'aliases',
    'redacts',
    'body',
  ])
  const levels = ['ban', 'events', 'events_default', 'kick', 'redact', 'state_default', 'users', 'users_default']

  test.each<[string, string[], string[]]>([
    ['m.room.member', ['1', '2', '3', '4', '5', '6', '7', '8'], ['membership']],
    ['m.room.member', ['9', '10', '11', '12'], ['membership', 'join_authorised_via_users_server']],
    ['m.room.create', ['1', '5', '6', '10'], ['creator']],
    ['m.room.create', ['11', '12'], Object.keys(all)],
    ['m.room.join_rules', ['1', '6', '7'], ['join_rule']],
    ['m.room.join_rules', ['8', '9', '10', '11', '12'], ['join_rule', 'allow']],
    ['m.room.power_levels', ['1', '6', '10'], levels],
    ['m.room.power_levels', ['11', '12'], [...levels, 'invite']],
    ['m.room.history_visibility', ['1', '12'], ['history_visibility']],
    ['m.room.aliases', ['1', '5'], ['aliases']],
    ['m.room.aliases', ['6', '12'], []],
    ['m.room.redaction', ['1', '10'], []],
    ['m.room.redaction', ['11', '12'], ['redacts']],
    ['m.room.message', ['1', '12'], []],
    ['constructor', ['1', '12'], []],
    ['__proto__', ['1', '12'], []],
  ])('%s in room versions %j keeps %j', (type, ids, kept) => {
    for (const id of ids) expect(redactContent(type, all, v(id))).toEqual(content(kept))
  })

  test('a third-party invite keeps what is signed, from version 11 on', () => {
    const member = { membership: 'invite', third_party_invite: { display_name: 'x', signed: { token: 't' } } }
    expect(redactContent('m.room.member', member, v('10'))).toEqual({ membership: 'invite' })
    expect(redactContent('m.room.member', member, v('11'))).toEqual({
      membership: 'invite',
      third_party_invite: { signed: { token: 't' } },
    })
    expect(redactContent('m.room.member', { third_party_invite: 5 }, v('11'))).toEqual({})
  })

  test('top-level keys', () => {
    const event = pdu({
      ...(build(v('10')).pdu as JsonObject),
      origin: 'o',
      prev_state: [],
      membership: 'join',
      redacts: '$x',
      unsigned: {},
      odd: 1,
    })
    expect(Object.keys(redact(event, v('10')))).toEqual(expect.arrayContaining(['origin', 'prev_state', 'membership']))
    for (const key of ['redacts', 'unsigned', 'odd']) expect(redact(event, v('10'))).not.toHaveProperty(key)
    for (const key of ['origin', 'prev_state', 'membership']) expect(redact(event, v('11'))).not.toHaveProperty(key)
  })

  test('R43 inherited names are not content', () => {
    expect(Object.keys(redactContent('m.room.member', Object.create({ membership: 'join' }) as JsonObject, v('12')))).toEqual([])
  })
})
