import { describe, expect, test } from '@jest/globals'
import { MatrixError } from '@weft/matrix'
import { addressKey, BucketRateLimiter, type RateLimit, type TokenBuckets } from '../src/index.ts'
import { ALICE, echo, startServer } from './harness.ts'

/** Buckets that never fill again. */
class Buckets implements TokenBuckets {
  readonly taken = new Map<string, number>()

  async take(key: string, limit: RateLimit, cost = 1): Promise<{ ok: true } | { ok: false; retryAfterMs: number }> {
    const taken = (this.taken.get(key) ?? 0) + cost
    if (taken > limit.burstCount) return { ok: false, retryAfterMs: 1000 / limit.perSecond }
    this.taken.set(key, taken)
    return { ok: true }
  }
}

describe('BucketRateLimiter', () => {
  test('counts by user or by address, as the class says, and not at all without a limit', async () => {
    const buckets = new Buckets()
    const limiter = new BucketRateLimiter(buckets, { message: { perSecond: 1, burstCount: 9 }, login: { perSecond: 1, burstCount: 9 } })
    await limiter.check('message', { ip: '1.1.1.1', requester: ALICE })
    await limiter.check('login', { ip: '2001:db8:1:2:3::4', requester: ALICE })
    await limiter.check('joins', { ip: '1.1.1.1', requester: ALICE })
    expect([...buckets.taken.keys()]).toEqual(['message:@alice:hs', 'login:2001:db8:1:2::/64'])
  })

  test('throws M_LIMIT_EXCEEDED with both ways of saying when to come back', async () => {
    const limiter = new BucketRateLimiter(new Buckets(), { login: { perSecond: 0.4, burstCount: 1 } })
    await limiter.check('login', { ip: '1.1.1.1' })
    const error = await limiter.check('login', { ip: '1.1.1.1' }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(MatrixError)
    expect(error).toMatchObject({
      status: 429,
      errcode: 'M_LIMIT_EXCEEDED',
      fields: { retry_after_ms: 2500 },
      headers: { 'retry-after': '3' },
    })
  })

  test('an IPv6 host is its /64, however its address is spelled', () => {
    const same = ['2001:db8:0:1:aaaa::1', '2001:DB8::1:0:0:0:9', '2001:0db8:0000:0001:1:2:3:4'].map(addressKey)
    expect(new Set(same)).toEqual(new Set(['2001:db8:0:1::/64']))
    expect(addressKey('::1')).toBe('0:0:0:0::/64')
    expect(addressKey('192.0.2.1')).toBe('192.0.2.1')
  })

  test('R33 an alias, a slash or an escape of the same endpoint is the same bucket', async () => {
    const endpoint = echo({
      method: 'GET',
      path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}',
      aliases: ['r0'],
      auth: 'accessToken',
      rateLimit: 'message',
    })
    const limiter = new BucketRateLimiter(new Buckets(), { message: { perSecond: 1, burstCount: 3 } })
    await using server = await startServer([endpoint], { rateLimiter: limiter })
    const paths = ['v3/rooms/!r/state/a', 'r0/rooms/!r/state/a', 'v3/rooms/%21r/state/a/', 'v3/rooms/!other/state/%61']
    const answers = []
    for (const path of paths) answers.push(await server.send('GET', `/_matrix/client/${path}`, { token: 'wft_alice_1' }))
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 429])
    expect(answers[3]?.json).toMatchObject({ errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 1000 })
    expect(answers[3]?.headers['retry-after']).toBe('1')
  })
})
