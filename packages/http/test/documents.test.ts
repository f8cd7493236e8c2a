import { describe, expect, test } from '@jest/globals'
import { z } from 'zod'
import { Registry, renderHaproxyConfig, renderHaproxyMap, renderNginxMap, renderRoutesTable, renderWorkersDoc } from '../src/index.ts'
import { echo } from './harness.ts'

const registry = new Registry([
  echo({ id: 'client.sync', path: '/_matrix/client/v3/sync', aliases: ['r0'], auth: 'accessToken', servedBy: ['sync'], affinity: 'user' }),
  echo({
    id: 'client.sendMessage',
    method: 'PUT',
    path: '/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}',
    auth: 'accessToken',
    affinity: 'roomId',
    rateLimit: 'message',
  }),
  echo({
    id: 'client.getState',
    path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}',
    servedBy: ['sync', 'writer'],
    affinity: 'roomId',
  }),
  echo({ id: 'client.join', method: 'POST', path: '/_matrix/client/v3/join/{roomIdOrAlias}', affinity: 'roomId', body: z.object({}) }),
  echo({ id: 'client.pushRules', path: '/_matrix/client/v3/pushrules/', servedBy: ['sync'] }),
  echo({ id: 'x.literal', path: '/x/a.b/c', servedBy: ['sync'] }),
  echo({ id: 'x.param', path: '/x/{any}/c' }),
])

/** Decides as a proxy does that tries anchored patterns in order. */
function firstMatch(lines: readonly (readonly [pattern: string, value: string])[], subject: string): string | undefined {
  return lines.find(([pattern]) => new RegExp(pattern).test(subject))?.[1]
}

const requests: [string, string][] = [
  ['GET', '/_matrix/client/v3/sync'],
  ['HEAD', '/_matrix/client/r0/sync'],
  ['POST', '/_matrix/client/v3/sync'],
  ['PUT', '/_matrix/client/v3/rooms/!r:hs/send/m.room.message/1'],
  ['PUT', '/_matrix/client/v3/rooms/!r%2Fx:hs/send/m.room.message/1'],
  ['PUT', '/_matrix/client/v3/rooms/!r:hs/send/m.room.message/1/extra'],
  ['GET', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name'],
  ['GET', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name/'],
  ['GET', '/_matrix/client/v3/rooms/!r:hs/state/m.room.name/key'],
  ['POST', '/_matrix/client/v3/join/%23a:hs'],
  ['GET', '/_matrix/client/v3/pushrules'],
  ['GET', '/_matrix/client/v3/pushrules/'],
  ['GET', '/x/a.b/c'],
  ['GET', '/x/aXb/c'],
  ['GET', '/y/_matrix/client/v3/sync'],
]

function classByMatcher(method: string, path: string): string {
  const match = registry.matcher.match(method, path)
  return match.kind === 'found' ? `weft_${match.endpoint.servedBy[0]}` : 'weft_sync'
}

describe('documents of the registry', () => {
  test('the nginx map decides as the matcher does', () => {
    const text = renderNginxMap(registry, { sync: ['10.0.0.1:8008', '10.0.0.2:8008'] })
    const block = text.slice(text.indexOf('$weft_class {'), text.indexOf('$weft_room {'))
    const lines = [...block.matchAll(/"~(.*)" (\w+);/g)].map((line) => [line[1] as string, line[2] as string] as const)
    for (const [method, path] of requests) {
      expect([path, firstMatch(lines, `${method}:${path}`) ?? 'weft_sync']).toEqual([path, classByMatcher(method, path)])
    }
    expect(text).toContain('upstream weft_sync {\n    hash $weft_key consistent;\n    server 10.0.0.1:8008;\n    server 10.0.0.2:8008;')
    expect(text).toContain('(?<weft_room_4>[^/]+)/send/[^/]+/[^/]+$" $weft_room_4;')
  })

  test('the HAProxy map decides as the matcher does', () => {
    const lines = renderHaproxyMap(registry)
      .split('\n')
      .filter((line) => line.startsWith('^'))
      .map((line) => line.split(' ') as [string, string])
    for (const [method, path] of requests) {
      const value = firstMatch(lines, `${method}:${path}`) ?? 'weft_sync:0'
      expect([path, value.split(':')[0]]).toEqual([path, classByMatcher(method, path)])
    }
    expect(firstMatch(lines, 'PUT:/_matrix/client/v3/rooms/!r/send/a/b')).toBe('weft_writer:6')
    expect(firstMatch(lines, 'POST:/_matrix/client/v3/join/!r')).toBe('weft_writer:6')
    const config = renderHaproxyConfig(registry, '/tmp/weft.map')
    expect(config).toContain('path,field(6,/) if { var(txn.weft_route) -m end :6 }')
    expect(config).toContain('backend weft_writer')
  })

  test('the table has every route, in the order of matching', () => {
    const table = renderRoutesTable(registry)
    expect(table.split('\n')[0]).toMatch(/^METHOD +PATH +SERVED BY +AFFINITY +RATE LIMIT +ENDPOINT$/)
    expect(table).toMatch(
      /^PUT +\/_matrix\/client\/v3\/rooms\/\{roomId\}\/send\/\{eventType\}\/\{txnId\} +writer +roomId +message +client\.sendMessage$/m,
    )
    expect(table).toMatch(/^GET +\/_matrix\/client\/r0\/sync +sync +user +- +client\.sync$/m)
    expect(table.indexOf('/x/a.b/c')).toBeLessThan(table.indexOf('/x/{any}/c'))
  })

  test('workers.md lists the endpoints of each class', () => {
    const doc = renderWorkersDoc(registry)
    expect(doc).toContain('| GET | `/_matrix/client/v3/sync` | `r0` | client.sync | yes | user |  |  |')
    expect(doc).toContain(
      '| PUT | `/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}` |  | client.sendMessage | yes | room | message |  |',
    )
    expect(doc.match(/client\.getState/g)).toHaveLength(2)
    expect(doc).not.toContain('## media')
  })
})
