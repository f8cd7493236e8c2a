import { describe, expect, test } from '@jest/globals'
import {
  clampLimit,
  compileEventFields,
  compileFilter,
  compileRoomEventFilter,
  type JsonObject,
  type JsonValue,
  MatrixError,
  parseJson,
  splitPath,
} from '../src/index.ts'

describe('filters (client-server API, "Filtering")', () => {
  const event = (type: string, more: JsonObject = {}) => ({ type, sender: '@a:x', roomId: '!r:x', ...more })

  test('the example of the spec', () => {
    // Spec: POST /user/{userId}/filter, example request.
    const filter = compileFilter({
      event_fields: ['type', 'content', 'sender'],
      event_format: 'client',
      presence: { not_senders: ['@alice:example.com'], types: ['m.presence'] },
      room: {
        ephemeral: { not_rooms: ['!726s6s6q:example.com'], not_senders: ['@spam:example.com'], types: ['m.receipt', 'm.typing'] },
        state: { not_rooms: ['!726s6s6q:example.com'], types: ['m.room.*'] },
        timeline: { limit: 10, not_rooms: ['!726s6s6q:example.com'], not_senders: ['@spam:example.com'], types: ['m.room.message'] },
      },
    })
    expect(filter.room.timeline.limit).toBe(10)
    expect(filter.room.state.matches(event('m.room.name'))).toBe(true)
    expect(filter.room.state.matches(event('m.other'))).toBe(false)
    expect(filter.room.timeline.matches(event('m.room.message'))).toBe(true)
    expect(filter.room.timeline.matches({ type: 'm.room.message', sender: '@spam:example.com', roomId: '!r:x' })).toBe(false)
    expect(filter.room.timeline.matches({ type: 'm.room.message', sender: '@a:x', roomId: '!726s6s6q:example.com' })).toBe(false)
    expect(filter.presence.matches({ type: 'm.presence', sender: '@alice:example.com' })).toBe(false)
    expect(filter.eventFields?.({ type: 't', content: { a: 1 }, sender: 's', room_id: 'r' })).toEqual({
      type: 't',
      content: { a: 1 },
      sender: 's',
    })
  })

  test('an empty filter allows all', () => {
    const filter = compileFilter({})
    expect(filter.room.timeline.allowsAll).toBe(true)
    expect(filter.room.timeline.matches({ type: 'x' })).toBe(true)
    expect(filter.eventFields).toBeUndefined()
    expect(filter.eventFormat).toBe('client')
    expect(filter.room.includeLeave).toBe(false)
    expect(filter.room.matchesRoom('!x:y')).toBe(true)
  })

  test('exclusion wins', () => {
    const filter = compileRoomEventFilter({ types: ['a*', 'b'], not_types: ['ab*'], senders: ['@a:x'], rooms: ['!r:x'] })
    expect(filter.matches(event('ac'))).toBe(true)
    expect(filter.matches(event('b'))).toBe(true)
    expect(filter.matches(event('abc'))).toBe(false)
    expect(filter.matches(event('ac', { sender: '@b:x' }))).toBe(false)
    expect(filter.matches(event('ac', { roomId: '!s:x' }))).toBe(false)
    expect(filter.allowsAll).toBe(false)
    expect(compileRoomEventFilter({ types: ['a?'] }).matches(event('ab'))).toBe(false)
    expect(compileRoomEventFilter({ types: [] }).allowsNone).toBe(true)
    expect(compileRoomEventFilter({ types: [] }).matches(event('a'))).toBe(false)
  })

  test('contains_url', () => {
    const has = compileRoomEventFilter({ contains_url: true })
    const hasNot = compileRoomEventFilter({ contains_url: false })
    expect(has.matches(event('a', { content: { url: 'mxc://x' } }))).toBe(true)
    expect(has.matches(event('a', { content: { url: 5 } }))).toBe(false)
    expect(has.matches({ type: 'a', content: () => ({ url: 'x' }) })).toBe(true)
    expect(hasNot.matches(event('a', { content: {} }))).toBe(true)
    expect(hasNot.matches(event('a', { content: { url: 'x' } }))).toBe(false)
  })

  test('flags and limits', () => {
    const filter = compileRoomEventFilter({
      lazy_load_members: true,
      include_redundant_members: true,
      unread_thread_notifications: true,
      related_by_rel_types: ['m.thread'],
      related_by_senders: ['@a:x'],
      limit: 500,
    })
    expect(filter).toMatchObject({
      lazyLoadMembers: true,
      includeRedundantMembers: true,
      unreadThreadNotifications: true,
      relatedByRelTypes: ['m.thread'],
      relatedBySenders: ['@a:x'],
    })
    expect(clampLimit(filter, 10, 100)).toBe(100)
    expect(clampLimit(compileRoomEventFilter({}), 10, 100)).toBe(10)
    expect(compileRoomEventFilter(parseJson('{"limit":10.0}')).limit).toBe(10)
    expect(compileRoomEventFilter({ limit: 0 }).limit).toBe(0)
    expect(compileRoomEventFilter({ limit: null, types: null }).allowsAll).toBe(true)
  })

  test.each<[string, JsonValue]>([
    ['filter', []],
    ['filter', 'x'],
    ['presence', { presence: 5 }],
    ['room', { room: [] }],
    ['room.timeline', { room: { timeline: 'x' } }],
    ['room.timeline.types', { room: { timeline: { types: 'm.room.message' } } }],
    ['room.timeline.types', { room: { timeline: { types: [5] } } }],
    ['room.timeline.limit', { room: { timeline: { limit: '10' } } }],
    ['room.timeline.limit', { room: { timeline: { limit: -1 } } }],
    ['room.state.lazy_load_members', { room: { state: { lazy_load_members: 'yes' } } }],
    ['room.rooms', { room: { rooms: {} } }],
    ['event_fields', { event_fields: 'type' }],
    ['event_format', { event_format: 'xml' }],
  ])('wrong: %s in %j', (path, json) => {
    expect(() => compileFilter(json)).toThrow(MatrixError)
    expect(() => compileFilter(json)).toThrow(path)
  })

  test('event_fields (appendices, "Dot-separated property paths")', () => {
    expect(splitPath('content.m\\.relates_to.a\\\\b.c\\d')).toEqual(['content', 'm.relates_to', 'a\\b', 'c\\d'])
    const source = JSON.parse(
      '{"content":{"body":"b","m.relates_to":{"event_id":"e","x":1},"__proto__":{"y":1}},"type":"t","sender":"s"}',
    ) as JsonObject
    expect(compileEventFields(['content.body', 'type'])(source)).toEqual({ content: { body: 'b' }, type: 't' })
    expect(compileEventFields(['content.m\\.relates_to.event_id'])(source)).toEqual({ content: { 'm.relates_to': { event_id: 'e' } } })
    expect(compileEventFields(['content.nothing', 'type.x', 'constructor'])(source)).toEqual({})
    expect(compileEventFields(['content', 'content.body'])(source)).toEqual({ content: source.content })
    expect(JSON.stringify(compileEventFields(['content.__proto__'])(source))).toBe('{"content":{"__proto__":{"y":1}}}')
  })

  test('event_fields cost what the event has, however many they are', () => {
    const many = Array.from({ length: 10_000 }, (_, i) => `x${i}`)
    let looks = 0
    const event = new Proxy<JsonObject>(
      { type: 't', x9000: 1, sender: '@a:x' },
      {
        getOwnPropertyDescriptor(target, key) {
          looks++
          return Reflect.getOwnPropertyDescriptor(target, key)
        },
      },
    )
    expect(compileEventFields([...many, 'type', 'constructor'])(event)).toEqual({ type: 't', x9000: 1 })
    expect(looks).toBeLessThan(20)
  })
})
