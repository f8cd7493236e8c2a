import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from '@jest/globals'
import { Edge, type EdgeSettings, internalHeaders } from '../src/index.ts'

function addressSeen(settings: EdgeSettings, peer: string, headers: Record<string, string>): string {
  const request = { headers, socket: { remoteAddress: peer } } as unknown as IncomingMessage
  const edge = new Edge(settings)
  return edge.clientAddress(request, edge.isInternal(request))
}

describe('Edge', () => {
  const proxied: EdgeSettings = { xForwarded: true, trustedProxies: ['10.0.0.0/8', '192.0.2.7', 'fd00::/8'] }

  test('believes X-Forwarded-For only from trusted proxies, from its right end', () => {
    expect(addressSeen({}, '10.0.0.1', { 'x-forwarded-for': '1.1.1.1' })).toBe('10.0.0.1')
    expect(addressSeen(proxied, '203.0.113.1', { 'x-forwarded-for': '1.1.1.1' })).toBe('203.0.113.1')
    expect(addressSeen(proxied, '10.0.0.1', { 'x-forwarded-for': '6.6.6.6, 1.1.1.1' })).toBe('1.1.1.1')
    expect(addressSeen(proxied, '10.0.0.1', { 'x-forwarded-for': '6.6.6.6, 1.1.1.1, 10.2.3.4' })).toBe('1.1.1.1')
    expect(addressSeen(proxied, '::ffff:10.0.0.1', { 'x-forwarded-for': '1.1.1.1:443' })).toBe('1.1.1.1')
    expect(addressSeen(proxied, 'fd00::1', { 'x-forwarded-for': '[2001:db8::1]:443' })).toBe('2001:db8::1')
    expect(addressSeen(proxied, '10.0.0.1', { 'x-forwarded-for': '1.1.1.1, garbage' })).toBe('10.0.0.1')
    expect(addressSeen(proxied, '10.0.0.1', { 'x-forwarded-for': '10.0.0.2' })).toBe('10.0.0.2')
  })

  test('R41 believes internal headers only with the internal secret', () => {
    const settings: EdgeSettings = { trustedSecret: 'correct horse' }
    const claim = { 'x-forwarded-for': '1.1.1.1' }
    expect(addressSeen(settings, '10.0.0.1', { ...claim, [internalHeaders.secret]: 'correct horse' })).toBe('1.1.1.1')
    for (const secret of ['', 'correct hors', 'correct horsf', 'correct horse ', 'ä']) {
      expect(addressSeen(settings, '10.0.0.1', { ...claim, [internalHeaders.secret]: secret })).toBe('10.0.0.1')
    }
    expect(addressSeen({}, '10.0.0.1', { ...claim, [internalHeaders.secret]: '' })).toBe('10.0.0.1')
  })

  test('R31 refuses an empty secret', () => {
    expect(() => new Edge({ trustedSecret: '' })).toThrow('the internal secret is empty')
  })

  test('refuses what is no CIDR', () => {
    for (const entry of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', 'localhost', '::/129', '10.0.0.0/-1', '10.0.0.0/1e1']) {
      expect(() => new Edge({ xForwarded: true, trustedProxies: [entry] })).toThrow('neither an address nor a CIDR')
    }
  })
})
