import { describe, expect, test } from '@jest/globals'
import { MAX_PARAM_BYTES, Matcher } from '../src/index.ts'
import { echo } from './harness.ts'

const matcher = new Matcher([
  echo({ id: 'state', path: '/_matrix/client/v3/rooms/{roomId}/state', aliases: ['r0'] }),
  echo({ id: 'getStateKey', path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}', aliases: ['r0'] }),
  echo({ id: 'putStateKey', method: 'PUT', path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}' }),
  echo({ id: 'aliases', path: '/_matrix/client/v3/rooms/{roomId}/aliases' }),
  echo({ id: 'event', path: '/_matrix/client/v3/rooms/{roomId}/event/{eventId}' }),
  echo({ id: 'pushrules', path: '/_matrix/client/v3/pushrules/' }),
  echo({ id: 'literal', path: '/a/b/d' }),
  echo({ id: 'param', path: '/a/{x}/c' }),
  echo({ id: 'deleteLiteral', method: 'DELETE', path: '/m/here' }),
  echo({ id: 'getAny', path: '/m/{x}' }),
  echo({
    id: 'renamed',
    path: '/_matrix/client/v1/summary/{room}',
    aliases: ['/_matrix/client/unstable/im.nheko.summary/rooms/{room}/summary'],
  }),
])

function found(method: string, path: string): [string, Record<string, string>] | string {
  const match = matcher.match(method, path)
  return match.kind === 'found' ? [match.endpoint.id, { ...match.params }] : match.kind
}

describe('Matcher', () => {
  test('prefers a literal, and goes back to the parameter when the literal leads nowhere', () => {
    expect(found('GET', '/a/b/d')).toEqual(['literal', {}])
    expect(found('GET', '/a/b/c')).toEqual(['param', { x: 'b' }])
    expect(found('GET', '/m/here')).toEqual(['getAny', { x: 'here' }])
    expect(found('DELETE', '/m/here')).toEqual(['deleteLiteral', {}])
  })

  test('answers on version aliases and on whole other paths', () => {
    expect(found('GET', '/_matrix/client/r0/rooms/!r:hs/state')).toEqual(['state', { roomId: '!r:hs' }])
    expect(found('GET', '/_matrix/client/unstable/im.nheko.summary/rooms/!r:hs/summary')).toEqual(['renamed', { room: '!r:hs' }])
  })

  test('tells an unknown path from a wrong method, with the methods of all that match', () => {
    expect(matcher.match('POST', '/m/here')).toEqual({ kind: 'wrongMethod', allow: ['DELETE', 'GET'] })
    expect(found('PATCH', '/nowhere')).toBe('unknownPath')
    expect(found('HEAD', '/a/b/d')).toEqual(['literal', {}])
  })

  test('R33 is anchored: prefixes, extra segments, empty segments and dots match nothing', () => {
    for (const path of [
      '/x/_matrix/client/v3/rooms/!r:hs/state',
      '/_matrix/client/v3/rooms/!r:hs/aliases/extra',
      '/_matrix/client/v3/rooms/!r:hs/aliases/',
      '//_matrix/client/v3/rooms/!r:hs/aliases',
      '/_matrix//client/v3/rooms/!r:hs/aliases',
      '/_matrix/client/v3/rooms//aliases',
      '/_matrix/client/v3/rooms/../aliases',
      '/_matrix/client/v3/rooms/./aliases',
      '/a/../a/b/d',
      '/_matrix/client/v3/pushrules//',
      '_matrix/client/v3/pushrules/',
      'http://hs/_matrix/client/v3/pushrules/',
      '*',
      '',
      '/',
      '//',
    ]) {
      expect([path, found('GET', path)]).toEqual([path, 'unknownPath'])
    }
  })

  test('R33 %2F inside a parameter is data', () => {
    expect(found('GET', '/_matrix/client/v3/rooms/!r:hs/event/%24a%2Fb%2F..%2Fc')).toEqual([
      'event',
      { roomId: '!r:hs', eventId: '$a/b/../c' },
    ])
    expect(found('GET', '/_matrix/client/v3/rooms/%2e%2e/aliases')).toEqual(['aliases', { roomId: '..' }])
    expect(found('GET', '/%5Fmatrix/client/v3/pushrules/')).toBe('unknownPath')
  })

  test('R33 a state event answers with, without and before an empty state key; push rules with and without the slash', () => {
    const expected = { roomId: '!r:hs', eventType: 'm.room.name', stateKey: '' }
    expect(found('GET', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name')).toEqual(['getStateKey', expected])
    expect(found('PUT', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name/')).toEqual(['putStateKey', expected])
    expect(found('PUT', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name/k')).toEqual(['putStateKey', { ...expected, stateKey: 'k' }])
    expect(found('PUT', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name/k/')).toBe('unknownPath')
    expect(matcher.match('DELETE', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name/').kind).toBe('wrongMethod')
    expect(found('GET', '/_matrix/client/v3/pushrules')).toEqual(['pushrules', {}])
    expect(found('GET', '/_matrix/client/v3/pushrules/')).toEqual(['pushrules', {}])
    expect(found('GET', '/_matrix/client/v3/rooms/!r:hs/state/')).toBe('unknownPath')
  })

  test('refuses parameters that are no percent-encoded UTF-8, contain NUL or are far too long', () => {
    for (const bad of [
      '%',
      '%zz',
      '%e0%a4',
      '%ff',
      '%ed%a0%80',
      'a%00b',
      'ä',
      'x'.repeat(MAX_PARAM_BYTES + 1),
      '%C3%A4'.repeat(MAX_PARAM_BYTES / 2 + 1),
    ]) {
      expect([bad, found('GET', `/a/${bad}/c`)]).toEqual([bad, 'badParameter'])
    }
    expect(found('GET', `/a/${'x'.repeat(MAX_PARAM_BYTES)}/c`)).toEqual(['param', { x: 'x'.repeat(MAX_PARAM_BYTES) }])
  })

  test('R43 names of Object.prototype are ordinary segments and values', () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(found('GET', `/${name}`)).toBe('unknownPath')
      expect(found('GET', `/a/${name}/c`)).toEqual(['param', { x: name }])
      expect(found(name, '/a/b/d')).toBe('wrongMethod')
    }
  })

  test('refuses two endpoints of one shape', () => {
    expect(() => new Matcher([echo({ id: 'a', path: '/x/{y}' }), echo({ id: 'b', path: '/x/{z}' })])).toThrow(
      'b and a both answer GET /x/{}',
    )
    expect(() => new Matcher([echo({ id: 'a', path: '/x' }), echo({ id: 'b', path: '/x/{z?}' })])).toThrow('both answer')
  })

  test('refuses what is no template', () => {
    for (const path of ['x', '/x//y', '/x/{y', '/x/a{y}', '/x/{y?}/z', '/{a}/{a}', '/{__proto__}']) {
      expect(() => new Matcher([echo({ path })])).toThrow()
    }
  })
})
