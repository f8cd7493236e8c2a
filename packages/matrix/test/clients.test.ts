import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  checkAliasContent,
  compileEventFilter,
  compileServerAcl,
  createEventIn,
  globListMatcher,
  globMatcher,
  inReplyTo,
  isEventVisible,
  isEventVisibleToServer,
  isVisibleAs,
  type JsonObject,
  type JsonValue,
  MatrixError,
  pruneStrippedState,
  readHistoryVisibility,
  redactionTarget,
  relationOf,
  threadRootOf,
  type VisibilityQuestion,
} from '../src/index.ts'

describe('globs (appendices, "Glob-style matching")', () => {
  test.each([
    ['*', '', true],
    ['*', 'anything', true],
    ['a*', 'a', true],
    ['a*', 'ba', false],
    ['*a', 'ba', true],
    ['*b*', 'abc', true],
    ['a*c', 'abc', true],
    ['a*c', 'ac', true],
    ['a*a', 'a', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['?', '😀', true],
    ['??', '😀', false],
    ['*?', '', false],
    ['a.c', 'abc', false],
    ['[ab]', 'a', false],
    ['a\\*', 'a\\b', true],
    ['m.room.*', 'm.room.message', true],
    ['', '', true],
    ['', 'a', false],
    ['*.*.*', 'a.b', false],
    ['ab*ab*ab', 'abab', false],
  ])('%p against %p: %p', (pattern, text, expected) => {
    expect(globMatcher(pattern)(text)).toBe(expected)
    expect(globListMatcher([pattern, 'x-never'])(text)).toBe(expected)
  })

  test('agrees with a regular expression', () => {
    const letters = fc.stringMatching(/^[ab]{0,8}$/)
    const pattern = fc.stringMatching(/^[ab*?]{0,8}$/)
    fc.assert(
      fc.property(pattern, letters, (glob, text) => {
        const regexp = new RegExp(`^${glob.replace(/\*/g, '.*').replace(/\?/g, '.')}$`)
        expect(globMatcher(glob)(text)).toBe(regexp.test(text))
        const stars = new RegExp(`^${glob.replace(/\?/g, '\\?').replace(/\*/g, '.*')}$`)
        expect(globMatcher(glob, { questionMark: false })(text)).toBe(stars.test(text))
        expect(globMatcher(glob.toUpperCase(), { ignoreCase: true })(text)).toBe(regexp.test(text))
      }),
      { numRuns: 500 },
    )
  })

  test('R16 patterns of filters are few, and pathological ones end', () => {
    const types = Array.from({ length: 100 }, (_, i) => `${'*a'.repeat(120)}*${i}`)
    const { matches } = compileEventFilter({ types, not_types: types })
    for (let i = 0; i < 1000; i++) expect(matches({ type: `${'a'.repeat(250)}${i}z`, sender: '@a:b' })).toBe(false)
    const many = Array.from({ length: 101 }, (_, i) => `m.${i}*`)
    expect(() => compileEventFilter({ types: many })).toThrow(MatrixError)
    expect(() => compileEventFilter({ not_types: many })).toThrow(MatrixError)
    expect(compileEventFilter({ types: many.map((type) => type.slice(0, -1)) }).matches({ type: 'm.100', sender: '@a:b' })).toBe(true)
  })

  test('R16 a pathological pattern ends', () => {
    const started = performance.now()
    expect(globMatcher(`${'a*'.repeat(100)}b`)('a'.repeat(255))).toBe(false)
    expect(globMatcher('*a'.repeat(2000))(`${'a'.repeat(4000)}b`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(5000)
  })
})

describe('server ACLs (client-server API, "m.room.server_acl")', () => {
  const acl = (content: JsonObject, server: string) => compileServerAcl(content).allows(server)

  test('without an event all are allowed', () => expect(compileServerAcl(undefined).allows('x.org')).toBe(true))

  test.each<[JsonObject, string, boolean]>([
    [{}, 'x.org', false],
    [{ allow: ['*'] }, 'x.org', true],
    [{ allow: ['*'], deny: ['*.evil.com'] }, 'a.evil.com', false],
    [{ allow: ['*'], deny: ['*.evil.com'] }, 'evil.com', true],
    [{ allow: ['*'], deny: ['evil.com'] }, 'evil.com:8448', false],
    [{ allow: ['*'], deny: ['evil.com'] }, 'EVIL.com', false],
    [{ allow: ['*'], deny: ['EVIL.com'] }, 'evil.com', false],
    [{ allow: ['good.org'] }, 'good.org:1234', true],
    [{ allow: ['good.org'], deny: ['good.org'] }, 'good.org', false],
    [{ allow: ['*'], allow_ip_literals: false }, '1.2.3.4', false],
    [{ allow: ['*'], allow_ip_literals: false }, '1.2.3.4:80', false],
    [{ allow: ['*'], allow_ip_literals: false }, '[::1]:80', false],
    [{ allow: ['*'], allow_ip_literals: false }, 'x.org', true],
    [{ allow: ['*'], allow_ip_literals: 'no' }, '1.2.3.4', true],
    [{ allow: ['*'], deny: ['[::1]'] }, '[::1]:80', false],
    [{ allow: '*' }, 'x.org', false],
    [{ allow: [5, null, '*'], deny: {} }, 'x.org', true],
    [{ allow: ['*'], deny: ['e?il.com'] }, 'evil.com', false],
    [{ allow: ['*'] }, 'not a server', false],
  ])('R15 %j %s: %p', (content, server, expected) => {
    expect(acl(content, server)).toBe(expected)
  })

  test('R15 very many and pathological globs end', () => {
    const deny = [
      ...Array.from({ length: 100_000 }, (_, i) => `server${i}.org`),
      ...Array.from({ length: 500 }, (_, i) => `${'*a'.repeat(60)}${i}`),
    ]
    const compiled = compileServerAcl({ allow: ['*'], deny })
    const started = performance.now()
    expect(compiled.allows(`${'a'.repeat(200)}.org`)).toBe(true)
    expect(compiled.allows('server99999.org')).toBe(false)
    expect(performance.now() - started).toBeLessThan(5000)
  })
})

describe('history visibility (client-server API, "Room History Visibility")', () => {
  const USER = '@u:x'
  const ask = (question: Partial<VisibilityQuestion>): boolean =>
    isEventVisible({
      type: 'm.room.message',
      userId: USER,
      visibilityBefore: 'shared',
      visibilityAfter: question.visibilityBefore ?? 'shared',
      membershipBefore: undefined,
      membershipAfter: question.membershipBefore,
      joinedSince: false,
      ...question,
    })

  const table: Array<[VisibilityQuestion['visibilityBefore'], string | undefined, boolean, boolean]> = []
  for (const joinedSince of [false, true]) {
    for (const membership of [undefined, 'leave', 'ban', 'knock', 'invite', 'join']) {
      table.push(['world_readable', membership, joinedSince, true])
      table.push(['shared', membership, joinedSince, joinedSince || membership === 'join'])
      table.push(['invited', membership, joinedSince, membership === 'invite' || membership === 'join'])
      table.push(['joined', membership, joinedSince, membership === 'join'])
    }
  }
  test.each(table)('%s, membership %s, joined since %p: %p', (visibility, membership, joinedSince, expected) => {
    expect(ask({ visibilityBefore: visibility, membershipBefore: membership, joinedSince })).toBe(expected)
    expect(isVisibleAs(visibility, membership, joinedSince)).toBe(expected)
  })

  test('a change of visibility counts with the one before or after', () => {
    const change = { type: 'm.room.history_visibility', stateKey: '' }
    expect(ask({ ...change, visibilityBefore: 'world_readable', visibilityAfter: 'joined' })).toBe(true)
    expect(ask({ ...change, visibilityBefore: 'joined', visibilityAfter: 'world_readable' })).toBe(true)
    expect(ask({ ...change, visibilityBefore: 'joined', visibilityAfter: 'invited' })).toBe(false)
    expect(ask({ visibilityBefore: 'joined', visibilityAfter: 'world_readable' })).toBe(false)
  })

  test('the own member event counts with the membership before or after', () => {
    const own = { type: 'm.room.member', stateKey: USER, visibilityBefore: 'joined' as const }
    expect(ask({ ...own, membershipBefore: undefined, membershipAfter: 'join' })).toBe(true)
    expect(ask({ ...own, membershipBefore: 'join', membershipAfter: 'ban' })).toBe(true)
    expect(ask({ ...own, membershipBefore: 'invite', membershipAfter: 'leave' })).toBe(false)
    expect(ask({ ...own, visibilityBefore: 'invited', membershipBefore: 'leave', membershipAfter: 'invite' })).toBe(true)
    expect(ask({ ...own, stateKey: '@other:x', membershipBefore: undefined, membershipAfter: 'join' })).toBe(false)
  })

  test('R29 after leaving nothing more is seen', () => {
    for (const visibilityBefore of ['shared', 'invited', 'joined'] as const) {
      expect(ask({ visibilityBefore, membershipBefore: 'leave' })).toBe(false)
      expect(ask({ visibilityBefore, membershipBefore: 'ban' })).toBe(false)
    }
  })

  test('R30 what is not understood is shared', () => {
    for (const content of [undefined, {}, { history_visibility: 5 }, { history_visibility: 'constructor' }]) {
      expect(readHistoryVisibility(content as JsonObject | undefined)).toBe('shared')
    }
    expect(readHistoryVisibility({ history_visibility: 'joined' })).toBe('joined')
  })

  test('for a server', () => {
    expect(isEventVisibleToServer('shared', [])).toBe(true)
    expect(isEventVisibleToServer('joined', ['leave', 'invite'])).toBe(false)
    expect(isEventVisibleToServer('joined', ['leave', 'join'])).toBe(true)
    expect(isEventVisibleToServer('invited', ['invite'])).toBe(true)
  })
})

describe('relations (client-server API, "Forming relationships between events")', () => {
  test('are read by own keys of the right type', () => {
    expect(relationOf({ 'm.relates_to': { rel_type: 'm.annotation', event_id: '$x', key: '👍' } })).toEqual({
      relType: 'm.annotation',
      eventId: '$x',
      key: '👍',
    })
    expect(relationOf({ 'm.relates_to': { rel_type: 'm.thread', event_id: '$x', key: 5 } })?.key).toBeUndefined()
    for (const relatesTo of [
      null,
      [],
      'x',
      {},
      { rel_type: 5, event_id: '$x' },
      { rel_type: 'm.thread' },
      { rel_type: 'm.thread', event_id: {} },
    ]) {
      expect(relationOf({ 'm.relates_to': relatesTo } as JsonObject)).toBeUndefined()
    }
    expect(relationOf(Object.create({ 'm.relates_to': { rel_type: 'a', event_id: 'b' } }) as JsonObject)).toBeUndefined()
  })

  test('threads, replies, redactions', () => {
    expect(threadRootOf({ 'm.relates_to': { rel_type: 'm.thread', event_id: '$x' } })).toBe('$x')
    expect(threadRootOf({ 'm.relates_to': { rel_type: 'm.replace', event_id: '$x' } })).toBeUndefined()
    expect(inReplyTo({ 'm.relates_to': { 'm.in_reply_to': { event_id: '$x' } } })).toBe('$x')
    expect(inReplyTo({ 'm.relates_to': { 'm.in_reply_to': '$x' } })).toBeUndefined()
    expect(redactionTarget({ content: { redacts: '$a' }, redacts: '$b' }, true)).toBe('$a')
    expect(redactionTarget({ content: { redacts: '$a' }, redacts: '$b' }, false)).toBe('$b')
    expect(redactionTarget({ content: { redacts: 5 } }, true)).toBeUndefined()
  })
})

describe('canonical aliases (client-server API, "m.room.canonical_alias")', () => {
  test.each<[JsonObject, string | undefined, string[]]>([
    [{}, undefined, []],
    [{ alias: null, alt_aliases: null }, undefined, []],
    [{ alias: '' }, undefined, []],
    [{ alias: '#a:x', alt_aliases: ['#b:x', '#c:y'] }, '#a:x', ['#b:x', '#c:y']],
  ])('%j', (content, alias, altAliases) => {
    expect(checkAliasContent(content)).toEqual({ ok: true, alias, altAliases })
  })

  test.each<[JsonObject]>([[{ alias: 'a' }], [{ alias: 5 }], [{ alias: '#a' }], [{ alt_aliases: '#a:x' }], [{ alt_aliases: ['#a:x', 1] }]])(
    'R30 %j is refused',
    (content) => {
      expect(checkAliasContent(content).ok).toBe(false)
    },
  )
})

describe('H7 the state that comes with an invitation', () => {
  const create = { type: 'm.room.create', state_key: '', sender: '@a:x', content: {} }
  test('has the create event, or makes no room', () => {
    expect(createEventIn([{ type: 'm.room.name', state_key: '' }, null, create])).toBe(create)
    for (const none of [undefined, null, {}, 'x', [], [{ ...create, state_key: 'x' }], [{ ...create, state_key: undefined }], [[create]]]) {
      expect(createEventIn(none as JsonValue)).toBeUndefined()
    }
  })
})

describe('R10 stripped state of another server', () => {
  const good = { type: 'm.room.name', state_key: '', sender: '@a:x', content: { name: 5 } }
  test('is pruned', () => {
    expect(pruneStrippedState([{ ...good, event_id: '$x', signatures: {} }])).toEqual([good])
  })
  test.each<[JsonValue]>([[null], [{}], ['x'], [[5, 'x', null, []]], [[{ ...good, content: [] }]], [[{ ...good, state_key: 1 }]]])(
    '%j gives none',
    (value) => {
      expect(pruneStrippedState(value)).toEqual([])
    },
  )
  test('is bounded', () => {
    expect(pruneStrippedState(Array.from({ length: 10_000 }, () => good)).length).toBeLessThanOrEqual(50)
  })
})
