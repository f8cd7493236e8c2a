import { describe, expect, test } from '@jest/globals'
import {
  type AuthEventView,
  authStateKeys,
  checkAuthEventsOfPdu,
  checkEventAuth,
  type JsonObject,
  makeSigner,
  parseJson as parseJsonText,
  parsePowerLevels,
  type RoomVersion,
  redactionApplies,
  requireRoomVersion,
  roomVersions,
  signJson,
} from '../src/index.ts'
import { ALICE, BOB, CAROL, ROOM, RoomState, v } from './fixtures.ts'

const verdict = (state: RoomState, event: AuthEventView): string => {
  const result = checkEventAuth(state.version, event, state)
  return result.ok ? 'ok' : result.rule
}
const from = (id: number): Array<[string, RoomVersion]> => [...roomVersions].filter(([name]) => Number(name) >= id)

/** Alice has made the room and is its admin, Bob is in it. */
const room = (version: RoomVersion, levels: JsonObject = {}, create: JsonObject = {}): RoomState => {
  const state = new RoomState(version, create).member(ALICE, 'join').member(BOB, 'join').joinRule('invite')
  return state.levels({ users: version.privilegedCreators ? {} : { [ALICE]: 100 }, ...levels })
}

describe.each([...roomVersions])('room version %s: create (rule 1)', (id, version) => {
  const create = (parts: Partial<AuthEventView> = {}): string => {
    const content: JsonObject = version.implicitCreator ? {} : { creator: ALICE }
    const event = {
      type: 'm.room.create',
      stateKey: '',
      sender: ALICE,
      roomId: version.roomIdIsCreateHash ? undefined : ROOM,
      content,
      prevEvents: [],
    }
    const result = checkEventAuth(version, { ...event, ...parts }, new RoomState(version))
    return result.ok ? 'ok' : result.rule
  }

  test('is allowed', () => expect(create()).toBe('ok'))
  test('with prev events', () => expect(create({ prevEvents: ['$x'] })).toBe('auth.1.1'))
  test('with a room id of another server, or with any', () => {
    expect(create({ roomId: '!room:other' })).toBe('auth.1.2')
    expect(create({ roomId: undefined })).toBe(version.roomIdIsCreateHash ? 'ok' : 'auth.1.2')
    if (version.roomIdIsCreateHash) expect(create({ roomId: ROOM })).toBe('auth.1.2')
  })
  test('of an unknown version', () => {
    for (const roomVersion of ['13', 'constructor', 12, null]) {
      expect(create({ content: { creator: ALICE, room_version: roomVersion } })).toBe('auth.1.3')
    }
    expect(create({ content: { creator: ALICE, room_version: id } })).toBe('ok')
  })
  test('without a creator', () => expect(create({ content: {} })).toBe(version.implicitCreator ? 'ok' : 'auth.1.4'))
  test('H4 with additional creators', () => {
    const withCreators = (creators: unknown) => create({ content: { creator: ALICE, additional_creators: creators } as JsonObject })
    expect(withCreators([BOB, CAROL])).toBe('ok')
    expect(withCreators([])).toBe('ok')
    for (const bad of [BOB, [5], ['bob'], [BOB, null], {}, null, [`@${'x'.repeat(255)}:domain`]]) {
      expect(withCreators(bad)).toBe(version.privilegedCreators ? 'auth.1.4' : 'ok')
    }
  })
})

describe.each([...roomVersions])('room version %s: the room', (_id, version) => {
  test('R06 there is no create event', () => {
    const state = room(version)
    state.delete('m.room.create', '')
    expect(verdict(state, state.event({ type: 'x' }))).toBe('auth.2')
  })

  test('does not federate', () => {
    const state = room(version, {}, { 'm.federate': false }).member(CAROL, 'join')
    expect(verdict(state, state.event({ type: 'x', sender: CAROL }))).toBe('auth.4')
    expect(verdict(state, state.event({ type: 'x', sender: BOB }))).toBe('ok')
    expect(verdict(room(version, {}, { 'm.federate': 'false' }).member(CAROL, 'join'), state.event({ type: 'x', sender: CAROL }))).toBe(
      'ok',
    )
  })

  test('the sender is not in it', () => {
    const state = room(version)
    for (const membership of ['leave', 'invite', 'ban', 'knock', 'odd']) {
      expect(verdict(state.member(CAROL, membership), state.event({ type: 'x', sender: CAROL }))).toBe('auth.6')
    }
    expect(verdict(state, state.event({ type: 'x', sender: '@nobody:domain' }))).toBe('auth.6')
  })

  test('a state key with the id of another user', () => {
    const state = room(version)
    expect(verdict(state, state.event({ type: 'x', stateKey: BOB }))).toBe('auth.9')
    expect(verdict(state, state.event({ type: 'x', stateKey: ALICE }))).toBe('ok')
    expect(verdict(state, state.event({ type: 'x', stateKey: 'bob' }))).toBe('ok')
  })

  test('aliases events', () => {
    const state = room(version)
    const aliases = (stateKey: string | undefined, sender = BOB) =>
      verdict(state, state.event({ type: 'm.room.aliases', stateKey, sender }))
    expect(aliases('domain')).toBe(version.aliasesAuthRule ? 'ok' : 'auth.8')
    expect(aliases('other')).toBe(version.aliasesAuthRule ? 'auth.aliases.2' : 'auth.8')
    expect(aliases(undefined)).toBe(version.aliasesAuthRule ? 'auth.aliases.1' : 'ok')
    expect(aliases('domain', '@nobody:domain')).toBe(version.aliasesAuthRule ? 'ok' : 'auth.6')
  })

  test('redactions', () => {
    const state = room(version)
    const redact = (redacts: string, sender = BOB) => verdict(state, state.event({ type: 'm.room.redaction', redacts, sender }))
    expect(redact('$x:domain')).toBe('ok')
    expect(redact('$x:other')).toBe(version.redactionInAuthRules ? 'auth.redaction' : 'ok')
    expect(redact('$x:other', ALICE)).toBe('ok')
  })
})

describe('H1 the room id of version 12 (rule 2)', () => {
  test('must be that of an accepted create event', () => {
    const state = room(v('12'))
    expect(verdict(state, state.event({ type: 'x' }))).toBe('ok')
    expect(verdict(state, state.event({ type: 'x', roomId: `!${'d'.repeat(43)}` }))).toBe('auth.2')
    expect(verdict(state, state.event({ type: 'x', roomId: undefined }))).toBe('auth.2')
    state.set('m.room.create', '', { ...state.view('m.room.create'), rejected: true })
    expect(verdict(state, state.event({ type: 'x' }))).toBe('auth.2')
  })
})

describe.each([...roomVersions])('room version %s: join', (_id, version) => {
  const N = Number(version.id)
  const join = (joinRule: string, membership: string | undefined, content: JsonObject = {}, sender = CAROL): string => {
    const state = room(version).joinRule(joinRule)
    if (membership !== undefined) state.member(CAROL, membership)
    return verdict(state, state.memberEvent(sender, CAROL, 'join', content))
  }

  test.each<[string, string | undefined, string]>([
    ['public', undefined, 'ok'],
    ['public', 'leave', 'ok'],
    ['public', 'ban', 'auth.5.3.3'],
    ['invite', undefined, 'auth.5.3.4'],
    ['invite', 'leave', 'auth.5.3.4'],
    ['invite', 'knock', 'auth.5.3.4'],
    ['invite', 'invite', 'ok'],
    ['invite', 'join', 'ok'],
    ['private', 'invite', 'auth.5.3.7'],
    ['constructor', 'invite', 'auth.5.3.7'],
    ['knock', 'invite', N >= 7 ? 'ok' : 'auth.5.3.7'],
    ['knock', 'knock', N >= 7 ? 'auth.5.3.4' : 'auth.5.3.7'],
    ['restricted', 'invite', N >= 8 ? 'ok' : 'auth.5.3.7'],
    ['restricted', undefined, N >= 8 ? 'auth.5.3.5.2' : 'auth.5.3.7'],
    ['knock_restricted', 'invite', N >= 10 ? 'ok' : 'auth.5.3.7'],
    ['knock_restricted', undefined, N >= 10 ? 'auth.5.3.5.2' : 'auth.5.3.7'],
  ])('rule %s, membership %s: %s', (joinRule, membership, expected) => {
    expect(join(joinRule, membership)).toBe(expected)
  })

  test('for another user', () => expect(join('public', undefined, {}, BOB)).toBe('auth.5.3.2'))

  test('without join rules', () => {
    const state = room(version)
    state.delete('m.room.join_rules', '')
    expect(verdict(state, state.memberEvent(CAROL, CAROL, 'join'))).toBe('auth.5.3.4')
  })

  test('of the creator, right after creation', () => {
    const state = new RoomState(version)
    expect(verdict(state, state.memberEvent(ALICE, ALICE, 'join', {}, [state.createId]))).toBe('ok')
    expect(verdict(state, state.memberEvent(ALICE, ALICE, 'join', {}, ['$x']))).toBe('auth.5.3.4')
    expect(verdict(state, state.memberEvent(ALICE, ALICE, 'join', {}, [state.createId, '$x']))).toBe('auth.5.3.4')
    expect(verdict(state, state.memberEvent(BOB, BOB, 'join', {}, [state.createId]))).toBe('auth.5.3.4')
  })

  test('authorised by a user', () => {
    const state = room(version, { invite: 50 }).joinRule('restricted')
    const authorised = (userId: unknown) =>
      verdict(state, state.memberEvent(CAROL, CAROL, 'join', { join_authorised_via_users_server: userId } as JsonObject))
    const refused = N >= 8 ? 'auth.5.3.5.2' : 'auth.5.3.7'
    expect(authorised(ALICE)).toBe(N >= 8 ? 'ok' : refused)
    expect(authorised(BOB)).toBe(refused)
    expect(authorised('@nobody:domain')).toBe(refused)
    expect(authorised(5)).toBe(refused)
  })
})

describe.each([...roomVersions])('room version %s: invite, leave, ban, knock', (_id, version) => {
  const N = Number(version.id)
  // Alice 100 (or creator), mod 60, Bob 0.
  const MOD = '@mod:domain'
  const base = () => {
    const users: JsonObject = { [MOD]: 60, '@mod2:domain': 60 }
    if (!version.privilegedCreators) users[ALICE] = 100
    return room(version, { users, invite: 50, ban: 55 }).member(MOD, 'join').member('@mod2:domain', 'join')
  }
  const change = (sender: string, target: string, membership: string, current?: string): string => {
    const state = base()
    if (current !== undefined) state.member(target, current)
    return verdict(state, state.memberEvent(sender, target, membership))
  }

  test.each<[string, string, string, string | undefined, string]>([
    [ALICE, CAROL, 'invite', undefined, 'ok'],
    [ALICE, CAROL, 'invite', 'leave', 'ok'],
    [ALICE, CAROL, 'invite', 'invite', 'ok'],
    [ALICE, CAROL, 'invite', 'knock', 'ok'],
    [ALICE, CAROL, 'invite', 'join', 'auth.5.4.3'],
    [ALICE, CAROL, 'invite', 'ban', 'auth.5.4.3'],
    [BOB, CAROL, 'invite', undefined, 'auth.5.4.5'],
    [CAROL, '@x:other', 'invite', undefined, 'auth.5.4.2'],
    [CAROL, CAROL, 'leave', 'join', 'ok'],
    [CAROL, CAROL, 'leave', 'invite', 'ok'],
    [CAROL, CAROL, 'leave', 'knock', N >= 7 ? 'ok' : 'auth.5.5.1'],
    [CAROL, CAROL, 'leave', 'ban', 'auth.5.5.1'],
    [CAROL, CAROL, 'leave', 'leave', 'auth.5.5.1'],
    [CAROL, CAROL, 'leave', undefined, 'auth.5.5.1'],
    [CAROL, BOB, 'leave', undefined, 'auth.5.5.2'],
    [MOD, CAROL, 'leave', 'join', 'ok'],
    [MOD, CAROL, 'leave', 'invite', 'ok'],
    [MOD, CAROL, 'leave', 'ban', 'ok'],
    [BOB, CAROL, 'leave', 'join', 'auth.5.5.5'],
    [BOB, CAROL, 'leave', 'ban', 'auth.5.5.3'],
    [MOD, '@mod2:domain', 'leave', undefined, 'auth.5.5.5'],
    [MOD, ALICE, 'leave', undefined, 'auth.5.5.5'],
    [ALICE, MOD, 'leave', undefined, 'ok'],
    [MOD, CAROL, 'ban', undefined, 'ok'],
    [MOD, CAROL, 'ban', 'join', 'ok'],
    [MOD, CAROL, 'ban', 'ban', 'ok'],
    [BOB, CAROL, 'ban', 'join', 'auth.5.6.3'],
    [MOD, ALICE, 'ban', undefined, 'auth.5.6.3'],
    [MOD, '@mod2:domain', 'ban', undefined, 'auth.5.6.3'],
    [CAROL, BOB, 'ban', undefined, 'auth.5.6.1'],
    [ALICE, BOB, 'odd', undefined, 'auth.5.8'],
    [CAROL, CAROL, 'knock', undefined, N >= 7 ? 'auth.5.7.1' : 'auth.5.8'],
  ])('%s makes %s %s who has %s: %s', (sender, target, membership, current, expected) => {
    expect(change(sender, target, membership, current)).toBe(expected)
  })

  test('member events without state key or membership', () => {
    const state = base()
    expect(verdict(state, state.event({ type: 'm.room.member', content: { membership: 'join' } }))).toBe('auth.5.1')
    expect(verdict(state, state.event({ type: 'm.room.member', stateKey: ALICE }))).toBe('auth.5.1')
    expect(verdict(state, state.event({ type: 'm.room.member', stateKey: ALICE, content: { membership: 5 } }))).toBe('auth.5.8')
  })

  if (N >= 7) {
    test.each<[string, string | undefined, string, string]>([
      ['knock', undefined, CAROL, 'ok'],
      ['knock', 'leave', CAROL, 'ok'],
      ['knock', 'knock', CAROL, 'ok'],
      ['knock', 'ban', CAROL, 'auth.5.7.4'],
      ['knock', 'invite', CAROL, 'auth.5.7.4'],
      ['knock', 'join', CAROL, 'auth.5.7.4'],
      ['knock', undefined, BOB, 'auth.5.7.2'],
      ['knock_restricted', undefined, CAROL, N >= 10 ? 'ok' : 'auth.5.7.1'],
      ['public', undefined, CAROL, 'auth.5.7.1'],
      ['restricted', undefined, CAROL, 'auth.5.7.1'],
    ])('knock with rule %s, membership %s, by %s: %s', (joinRule, membership, sender, expected) => {
      const state = base().joinRule(joinRule)
      if (membership !== undefined) state.member(CAROL, membership)
      expect(verdict(state, state.memberEvent(sender, CAROL, 'knock'))).toBe(expected)
    })
  }
})

describe.each([...roomVersions])('room version %s: third-party invites', (_id, version) => {
  const identity = makeSigner('vector.im', 'ed25519:0', new Uint8Array(32).fill(1))
  const signed = signJson({ mxid: CAROL, token: 'tok' }, identity)
  const state = (content: JsonObject = { public_key: identity.publicKey }) => {
    const made = room(version).add('m.room.third_party_invite', 'tok', content, BOB)
    return made
  }
  const invite = (thirdParty: unknown, made = state(), sender = BOB) =>
    verdict(made, made.memberEvent(sender, CAROL, 'invite', { third_party_invite: thirdParty } as JsonObject))

  test('signed by the identity server', () => {
    expect(invite({ signed })).toBe('ok')
    expect(invite({ signed }, state({ public_keys: [{ public_key: 'AAAA' }, 5, { public_key: identity.publicKey }] }))).toBe('ok')
  })

  test.each<[string, unknown, string]>([
    ['not an object', 'x', 'auth.5.4.1.2'],
    ['not signed', {}, 'auth.5.4.1.2'],
    ['without token', { signed: { mxid: CAROL } }, 'auth.5.4.1.3'],
    ['without mxid', { signed: { token: 'tok' } }, 'auth.5.4.1.3'],
    ['for another user', { signed: { ...signed, mxid: BOB } }, 'auth.5.4.1.4'],
    ['of an unknown token', { signed: { ...signed, token: 'constructor' } }, 'auth.5.4.1.5'],
    ['changed after signing', { signed: { ...signed, more: 1 } }, 'auth.5.4.1.8'],
    ['with odd signatures', { signed: { ...signed, signatures: { 'vector.im': 5, x: [] } } }, 'auth.5.4.1.8'],
  ])('%s', (_name, thirdParty, expected) => {
    expect(invite(thirdParty)).toBe(expected)
  })

  test('by another sender, for a banned user, with other keys', () => {
    expect(invite({ signed }, state(), ALICE)).toBe('auth.5.4.1.6')
    expect(invite({ signed }, state().member(CAROL, 'ban'))).toBe('auth.5.4.1.1')
    expect(invite({ signed }, state({ public_key: 'AAAA', public_keys: 'x' }))).toBe('auth.5.4.1.8')
  })

  test('hundreds of keys and signatures end', () => {
    const keys = Array.from({ length: 100 }, (_, i) => ({
      public_key: makeSigner('x', 'ed25519:0', new Uint8Array(32).fill(i + 2)).publicKey,
    }))
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`ed25519:${i}`, 'A'.repeat(86)]))
    expect(invite({ signed: { ...signed, signatures: { x: many } } }, state({ public_keys: keys }))).toBe('auth.5.4.1.8')
  })

  test('sending one needs the invite level', () => {
    const made = room(version, { invite: 50 })
    expect(verdict(made, made.event({ type: 'm.room.third_party_invite', stateKey: 't', sender: BOB }))).toBe('auth.7')
    expect(verdict(made, made.event({ type: 'm.room.third_party_invite', stateKey: 't', sender: ALICE }))).toBe('ok')
  })
})

describe.each([...roomVersions])('room version %s: power levels', (_id, version) => {
  const N = Number(version.id)
  const MOD = '@mod:domain'
  const before: JsonObject = {
    users: { [MOD]: 50, [BOB]: 10, '@peer:domain': 50, '@high:domain': 80 },
    events: { low: 10, high: 80 },
    notifications: { room: 80 },
    ban: 50,
    kick: 80,
    state_default: 50,
    events_default: 0,
  }
  const change = (content: JsonObject, sender = MOD): string => {
    const state = room(version, before).member(MOD, 'join')
    return verdict(state, state.event({ type: 'm.room.power_levels', stateKey: '', sender, content }))
  }
  const users = (changes: JsonObject, removed?: string): JsonObject => {
    const all: JsonObject = { ...(before.users as JsonObject), ...changes }
    if (removed !== undefined) delete all[removed]
    return { ...before, users: all }
  }

  test.each<[string, JsonObject, string]>([
    ['nothing changes', before, 'ok'],
    ['a level below goes up to mine', { ...before, ban: 50, events_default: 50 }, 'ok'],
    ['a level goes above mine', { ...before, ban: 51 }, 'auth.10.6.2'],
    ['a level above mine goes down', { ...before, kick: 10 }, 'auth.10.6.1'],
    ['a level is added above mine', { ...before, invite: 60 }, 'auth.10.6.2'],
    ['a level above mine is removed', { ...before, kick: undefined as unknown as number }, 'auth.10.6.1'],
    ['an event below mine changes', { ...before, events: { low: 50, high: 80 } }, 'ok'],
    ['an event goes above mine', { ...before, events: { low: 51, high: 80 } }, 'auth.10.8'],
    ['an event above mine changes', { ...before, events: { low: 10, high: 20 } }, 'auth.10.7'],
    ['an event above mine is removed', { ...before, events: { low: 10 } }, 'auth.10.7'],
    ['an event is added above mine', { ...before, events: { low: 10, high: 80, constructor: 51 } }, 'auth.10.8'],
    ['a notification goes above mine', { ...before, notifications: { room: 90 } }, N >= 6 ? 'auth.10.7' : 'ok'],
    ['a notification is added above mine', { ...before, notifications: { room: 80, x: 90 } }, N >= 6 ? 'auth.10.8' : 'ok'],
    ['a user below mine goes up to it', users({ [BOB]: 50 }), 'ok'],
    ['a user below mine goes above it', users({ [BOB]: 51 }), 'auth.10.10'],
    ['a user is added above me', users({ '@new:domain': 51 }), 'auth.10.10'],
    ['a peer goes down', users({ '@peer:domain': 10 }), 'auth.10.9'],
    ['a peer is removed', users({}, '@peer:domain'), 'auth.10.9'],
    ['a higher user changes', users({ '@high:domain': 20 }), 'auth.10.9'],
    ['a lower user is removed', users({}, BOB), 'ok'],
    ['I go down', users({ [MOD]: 10 }), 'ok'],
    ['I am removed', users({}, MOD), 'ok'],
    ['I go up', users({ [MOD]: 51 }), 'auth.10.10'],
  ])('%s', (_name, content, expected) => {
    expect(change(JSON.parse(JSON.stringify(content)) as JsonObject)).toBe(expected)
  })

  test.each<[string, JsonObject, string]>([
    ['a level as text', { ban: '50' }, N >= 10 ? 'auth.10.levels' : 'ok'],
    ['a level of null', { ban: null }, N >= 10 ? 'auth.10.levels' : 'ok'],
    ['events as a list', { events: [] }, N >= 10 ? 'auth.10.maps' : 'auth.10.7'],
    ['an event level as text', { events: { low: '10', high: '80' } }, N >= 10 ? 'auth.10.maps' : 'ok'],
    ['notifications as text', { notifications: 'x' }, N >= 10 ? 'auth.10.maps' : N >= 6 ? 'auth.10.7' : 'ok'],
    ['users as a list', { users: [] }, 'auth.10.users'],
    ['users as null', { users: null }, 'auth.10.users'],
    ['a user with text', { users: { ...(before.users as JsonObject), [BOB]: ' +010 ' } }, N >= 10 ? 'auth.10.users' : 'ok'],
    ['a user with odd text', { users: { ...(before.users as JsonObject), [BOB]: '1.5' } }, 'auth.10.users'],
    ['a user with true', { users: { ...(before.users as JsonObject), [BOB]: true } }, 'auth.10.users'],
    ['a key that is no user', { users: { ...(before.users as JsonObject), bob: 10 } }, 'auth.10.users'],
  ])('of the form: %s', (_name, content, expected) => {
    const result = change({ ...before, ...content })
    expect(result.startsWith(expected)).toBe(true)
  })

  test('the first one may say anything', () => {
    const state = new RoomState(version).member(ALICE, 'join')
    expect(verdict(state, state.event({ type: 'm.room.power_levels', stateKey: '', content: { users: { [BOB]: 1000 }, ban: 1000 } }))).toBe(
      'ok',
    )
  })

  test('H1 may not name creators', () => {
    const state = new RoomState(version, { additional_creators: [CAROL] }).member(ALICE, 'join')
    const name = (userId: string) =>
      verdict(state, state.event({ type: 'm.room.power_levels', stateKey: '', content: { users: { [userId]: 100 } } }))
    expect(name(ALICE)).toBe(version.privilegedCreators ? 'auth.10.4' : 'ok')
    expect(name(CAROL)).toBe(version.privilegedCreators ? 'auth.10.4' : 'ok')
    expect(name(BOB)).toBe('ok')
  })

  test('H6 creators are above all levels', () => {
    const state = new RoomState(version, { additional_creators: [CAROL] }).member(ALICE, 'join').member(CAROL, 'join').member(BOB, 'join')
    state.levels({ users: { [BOB]: 9007199254740991 }, events: { x: 9007199254740991 } })
    expect(verdict(state, state.event({ type: 'x', sender: ALICE }))).toBe(version.privilegedCreators ? 'ok' : 'auth.8')
    expect(verdict(state, state.event({ type: 'x', sender: CAROL }))).toBe(version.privilegedCreators ? 'ok' : 'auth.8')
    expect(verdict(state, state.memberEvent(CAROL, BOB, 'ban'))).toBe(version.privilegedCreators ? 'ok' : 'auth.5.6.3')
    expect(verdict(state, state.memberEvent(BOB, ALICE, 'ban'))).toBe(version.privilegedCreators ? 'auth.5.6.3' : 'ok')
    expect(verdict(state, state.memberEvent(CAROL, ALICE, 'leave'))).toBe('auth.5.5.5')
  })

  test('defaults, with and without an event', () => {
    const state = new RoomState(version).member(ALICE, 'join').member(BOB, 'join')
    const none = parsePowerLevels(version, state.view('m.room.create'))
    expect(none.userLevel(ALICE)).toBe(version.privilegedCreators ? Number.POSITIVE_INFINITY : 100)
    expect(none.userLevel(BOB)).toBe(0)
    const empty = parsePowerLevels(version, state.view('m.room.create'), state.levels({}).view('m.room.power_levels'))
    expect(empty.userLevel(ALICE)).toBe(version.privilegedCreators ? Number.POSITIVE_INFINITY : 0)
    for (const levels of [none, empty]) {
      expect([levels.ban, levels.kick, levels.redact, levels.invite, levels.stateDefault, levels.eventsDefault]).toEqual([
        50, 50, 50, 0, 50, 0,
      ])
      expect([levels.eventLevel('x', true), levels.eventLevel('x', false), levels.notificationLevel('room')]).toEqual([50, 0, 50])
    }
  })

  test('R43 names of prototypes are names', () => {
    const state = room(version, { events: { low: 10 } })
    for (const type of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(verdict(state, state.event({ type, stateKey: '', sender: BOB }))).toBe('auth.8')
      expect(verdict(state, state.event({ type, stateKey: '', sender: ALICE }))).toBe('ok')
      const levels = parsePowerLevels(version, state.view('m.room.create'), state.view('m.room.power_levels'))
      expect(levels.userLevel(type)).toBe(0)
      expect(levels.notificationLevel(type)).toBe(50)
    }
    const own = room(version, JSON.parse('{"events":{"__proto__":70},"users":{"@bob:domain":60}}') as JsonObject)
    expect(verdict(own, own.event({ type: '__proto__', sender: BOB }))).toBe('auth.8')
  })

  test('levels parsed before are used', () => {
    const state = room(version, { events: { x: 100 } })
    const powerLevels = parsePowerLevels(version, state.view('m.room.create'), state.view('m.room.power_levels'))
    const warm = { get: (type: string, key: string) => (type === 'm.room.power_levels' ? undefined : state.get(type, key)), powerLevels }
    expect(checkEventAuth(version, state.event({ type: 'x', sender: BOB }), warm).ok).toBe(false)
  })
})

describe('R01 levels of old rooms', () => {
  const level = (id: string, value: string): number => {
    const version = requireRoomVersion(id)
    const state = new RoomState(version)
    const content = parseRaw(`{"users":{"${BOB}":${value}}}`)
    return parsePowerLevels(version, state.view('m.room.create'), state.levels(content).view('m.room.power_levels')).userLevel(BOB)
  }

  test.each<[string, string, number]>([
    ['5', '50.57', 50],
    ['5', '5.114698E4', 51146],
    ['5', '-1.9', -1],
    ['5', '"100"', 100],
    ['9', '"000100"', 100],
    ['9', '"+100"', 100],
    ['9', '" -100 "', -100],
    ['9', '"1.5"', 0],
    ['9', '"0x10"', 0],
    ['9', '""', 0],
    ['9', '"1e3"', 0],
    ['9', '50.57', 0],
    ['10', '"100"', 0],
    ['10', '100', 100],
  ])('room version %s reads %s as %d', (id, value, expected) => {
    expect(level(id, value)).toBe(expected)
  })

  test('beyond a double they are refused', () => {
    for (const property of ['users', 'events']) {
      const state = room(v('5'))
      const content = parseRaw(`{"${property}":{"${BOB}":1e999}}`)
      expect(verdict(state, state.event({ type: 'm.room.power_levels', stateKey: '', content }))).not.toBe('ok')
    }
    const state = room(v('5'))
    expect(verdict(state, state.event({ type: 'm.room.power_levels', stateKey: '', content: parseRaw('{"ban":-1e999}') }))).toBe(
      'auth.10.levels',
    )
  })
})

describe('auth events selection (server-server API)', () => {
  const PL = ['m.room.power_levels', '']
  const CREATE = ['m.room.create', '']
  const RULES = ['m.room.join_rules', '']
  const member = (userId: string) => ['m.room.member', userId]
  const keys = (version: RoomVersion, event: Partial<AuthEventView>) =>
    authStateKeys(version, { type: 'm.room.member', sender: ALICE, content: {}, ...event })

  test.each(from(1))('room version %s', (_id, version) => {
    const base = version.createNotInAuthEvents ? [PL, member(ALICE)] : [CREATE, PL, member(ALICE)]
    expect(keys(version, { type: 'm.room.create', stateKey: '' })).toEqual([])
    expect(keys(version, { type: 'm.room.message' })).toEqual(base)
    expect(keys(version, { type: 'm.room.topic', stateKey: '' })).toEqual(base)
    expect(keys(version, { stateKey: ALICE, content: { membership: 'join' } })).toEqual([...base, RULES])
    expect(keys(version, { stateKey: BOB, content: { membership: 'invite' } })).toEqual([...base, member(BOB), RULES])
    expect(keys(version, { stateKey: BOB, content: { membership: 'knock' } })).toEqual([...base, member(BOB), RULES])
    expect(keys(version, { stateKey: BOB, content: { membership: 'ban' } })).toEqual([...base, member(BOB)])
    expect(keys(version, { stateKey: BOB, content: { membership: 'leave' } })).toEqual([...base, member(BOB)])
    expect(keys(version, { stateKey: BOB, content: { membership: 'invite', third_party_invite: { signed: { token: 't' } } } })).toEqual([
      ...base,
      member(BOB),
      RULES,
      ['m.room.third_party_invite', 't'],
    ])
    expect(keys(version, { stateKey: ALICE, content: { membership: 'join', join_authorised_via_users_server: BOB } })).toEqual(
      version.restrictedJoin ? [...base, RULES, member(BOB)] : [...base, RULES],
    )
    expect(keys(version, { stateKey: ALICE, content: { membership: 'join', join_authorised_via_users_server: ALICE } })).toEqual([
      ...base,
      RULES,
    ])
  })
})

describe.each([...roomVersions])('room version %s: the list of auth events (R06)', (_id, version) => {
  const state = room(version)
  const rule = version.createNotInAuthEvents ? 'auth.3' : 'auth.2'
  const event = state.event({ type: 'm.room.message' })
  const good = authStateKeys(version, event).map(([type, key]) => state.view(type, key))
  const check = (authEvents: Parameters<typeof checkAuthEventsOfPdu>[2], of = event): string => {
    const result = checkAuthEventsOfPdu(version, of, authEvents)
    return result.ok ? 'ok' : result.rule
  }

  test('as selected', () => expect(check(good)).toBe('ok'))
  test('fewer', () => expect(check(good.filter(({ type }) => type !== 'm.room.power_levels'))).toBe('ok'))
  test('R06 one key twice', () => expect(check([...good, { ...state.view('m.room.power_levels'), eventId: '$y' }])).toBe(`${rule}.1`))
  test('R06 one too many', () => expect(check([...good, state.view('m.room.join_rules')])).toBe(`${rule}.2`))
  test('R06 a message', () => expect(check([...good, { ...state.view('m.room.power_levels'), stateKey: undefined }])).toBe(`${rule}.2`))
  test('R06 a rejected one', () => expect(check(good.map((one) => ({ ...one, rejected: true })))).toBe(`${rule}.3`))
  test('R06 one of another room (MSC4307)', () => expect(check(good.map((one) => ({ ...one, roomId: '!x:domain' })))).toBe(`${rule}.5`))
  test('R06 H2 the create event', () => {
    const create = state.view('m.room.create')
    const others = good.filter(({ type }) => type !== 'm.room.create')
    expect(check(others)).toBe(version.createNotInAuthEvents ? 'ok' : 'auth.2.4')
    expect(check([...others, create])).toBe(version.createNotInAuthEvents ? 'auth.3.2' : 'ok')
  })
  test('a create event has none', () => {
    const create = { ...state.event({ type: 'm.room.create', stateKey: '' }), roomId: state.roomId }
    expect(check([], create)).toBe('ok')
    expect(check([state.view('m.room.power_levels')], create)).toBe(`${rule}.2`)
  })
})

test('whether a redaction takes effect (room version 3, "Handling redactions")', () => {
  const state = room(v('11'))
  const levels = parsePowerLevels(v('11'), state.view('m.room.create'), state.view('m.room.power_levels'))
  expect(redactionApplies(v('11'), { sender: BOB }, { sender: ALICE }, levels)).toBe(true)
  expect(redactionApplies(v('11'), { sender: CAROL }, { sender: ALICE }, levels)).toBe(false)
  expect(redactionApplies(v('11'), { sender: ALICE }, { sender: CAROL }, levels)).toBe(true)
})

function parseRaw(text: string): JsonObject {
  return parseJsonText(text) as JsonObject
}
