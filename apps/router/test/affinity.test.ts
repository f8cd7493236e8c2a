import { describe, expect, test } from '@jest/globals'
import { affinityHash, hash32, userHint, weight } from '../src/affinity.ts'

const place = (key: string, instances: readonly string[]): string =>
  instances.reduce((best, one) => (weight(hash32(key), hash32(one)) > weight(hash32(key), hash32(best)) ? one : best))
const keys = Array.from({ length: 8_000 }, (_, i) => `!room${i}:example.org`)

describe('rendezvous hashing', () => {
  test('spreads keys evenly, for names that differ in one character too', () => {
    const instances = ['sync-1', 'sync-2', 'sync-3', 'sync-4', 'sync-5']
    const counts = new Map<string, number>()
    for (const key of keys) {
      const home = place(key, instances)
      counts.set(home, (counts.get(home) ?? 0) + 1)
    }
    for (const instance of instances) {
      expect(counts.get(instance)).toBeGreaterThan(keys.length / 5 / 1.1)
      expect(counts.get(instance)).toBeLessThan((keys.length / 5) * 1.1)
    }
  })

  test('an instance that joins takes its share and moves nothing else', () => {
    const before = ['sync-a1b2', 'sync-c3d4', 'sync-e5f6']
    const after = [...before, 'sync-0718']
    const movedTo: string[] = []
    for (const key of keys) {
      const now = place(key, after)
      if (now === place(key, before)) continue
      movedTo.push(now)
    }
    expect([...new Set(movedTo)]).toEqual(['sync-0718'])
    expect(movedTo.length / keys.length).toBeCloseTo(1 / 4, 1)
  })
})

describe('keys', () => {
  test.each([
    ['wft_YWxpY2U_random', 'YWxpY2U'],
    ['wft_YWxpY2U_ran_dom', 'YWxpY2U'],
    ['wft__random', undefined],
    ['wft_YWxpY2U', undefined],
    ['syt_YWxpY2U_random', undefined],
    ['', undefined],
  ])('the hint in %s is %s', (token, hint) => {
    expect(userHint(token)).toBe(hint)
  })

  test('a room endpoint is placed by room, one without a room by user, without a token by address', () => {
    const token = 'Bearer wft_YWxpY2U_r'
    const room = affinityHash('roomId', { roomId: '!a:x' }, token, '/', '1.1.1.1')
    expect(affinityHash('roomId', { roomIdOrAlias: '!a:x' }, undefined, '/', '2.2.2.2')).toBe(room)
    const user = affinityHash('user', {}, token, '/', '1.1.1.1')
    expect(affinityHash('user', {}, undefined, '/x?a=b&access_token=wft_YWxpY2U_other', '2.2.2.2')).toBe(user)
    expect(affinityHash('none', {}, undefined, '/', '1.1.1.1')).toBe(affinityHash('user', {}, 'Basic x', '/', '1.1.1.1'))
    expect(affinityHash('none', {}, undefined, '/', '1.1.1.1')).not.toBe(affinityHash('none', {}, undefined, '/', '1.1.1.2'))
  })
})
