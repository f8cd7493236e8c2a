import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  decodeBase64,
  decodeBase64Url,
  encodeBase64,
  encodeBase64Url,
  errcodeStatus,
  isCompliantUserId,
  isEventId,
  isRoomAlias,
  isServerKeyId,
  isServerName,
  isStrictUserId,
  isUserId,
  MatrixError,
  parseKeyId,
  parseRoomId,
  parseServerName,
  parseUserId,
  serverNameOf,
} from '../src/index.ts'

describe('server names (appendices, "Server Name")', () => {
  test.each([
    ['matrix.org', 'matrix.org', undefined, 'dns'],
    ['matrix.org:8888', 'matrix.org', 8888, 'dns'],
    ['1.2.3.4', '1.2.3.4', undefined, 'ipv4'],
    ['1.2.3.4:1234', '1.2.3.4', 1234, 'ipv4'],
    ['[1234:5678::abcd]', '1234:5678::abcd', undefined, 'ipv6'],
    ['[1234:5678::abcd]:5678', '1234:5678::abcd', 5678, 'ipv6'],
    ['[::]', '::', undefined, 'ipv6'],
    ['[::ffff:1.2.3.4]', '::ffff:1.2.3.4', undefined, 'ipv6'],
    ['localhost', 'localhost', undefined, 'dns'],
    ['MATRIX.org', 'MATRIX.org', undefined, 'dns'],
    ['1.2.3', '1.2.3', undefined, 'dns'],
  ])('%s', (text, host, port, kind) => {
    expect(parseServerName(text)).toEqual({ host, port, kind })
  })

  test.each([
    '',
    ':80',
    'a:',
    'a:b',
    'a:123456',
    'a:65536',
    'a:1:2',
    'a b',
    'é.org',
    'a_b.org',
    'a/b',
    '256.1.1.1',
    '[1::2::3]',
    '[1:2:3:4:5:6:7]',
    '[1:2:3:4:5:6:7:8:9]',
    '[12345::]',
    '[::1',
    '::1',
    '[]',
    '[::1]x',
    '[::1.2.3.400]',
    `${'a'.repeat(256)}`,
    'a\n',
  ])('%p is none', (text) => {
    expect(isServerName(text)).toBe(false)
  })
})

describe('user ids (appendices, "User Identifiers")', () => {
  test.each([
    ['@alice:example.org', true, true, true],
    ['@a.b_c=d-e/f+0:example.org:8448', true, true, true],
    ['@Alice:example.org', true, true, false],
    ['@:example.org', true, false, false],
    ['@ü:example.org', true, false, false],
    ['@a b:example.org', true, false, false],
    ['@a\nb:example.org', true, false, false],
    ['@a\0b:example.org', false, false, false],
    ['@a\ud800b:example.org', false, false, false],
    ['@alice', false, false, false],
    ['alice:example.org', false, false, false],
    ['@alice:', false, false, false],
    ['@alice:exa mple', false, false, false],
    ['', false, false, false],
    ['#alice:example.org', false, false, false],
  ])('%p: historical %p, compliant %p, strict %p', (text, historical, compliant, strict) => {
    expect(isUserId(text)).toBe(historical)
    expect(isCompliantUserId(text)).toBe(compliant)
    expect(isStrictUserId(text)).toBe(strict)
  })

  test('parts', () => {
    expect(parseUserId('@alice:example.org:8448')).toEqual({ localpart: 'alice', serverName: 'example.org:8448' })
    expect(serverNameOf('@alice:[::1]:80')).toBe('[::1]:80')
    expect(serverNameOf('$abc')).toBeUndefined()
  })

  test('R04 the limit of 255 counts bytes', () => {
    const id = (localpart: string) => `@${localpart}:s`
    expect(isUserId(id('a'.repeat(252)))).toBe(true)
    expect(isUserId(id('a'.repeat(253)))).toBe(false)
    expect(isUserId(id('é'.repeat(126)))).toBe(true)
    expect(isUserId(id(`${'é'.repeat(126)}a`))).toBe(false)
  })
})

describe('room ids, aliases, event ids, key ids', () => {
  const hash = 'Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ'

  test('H2 room ids with and without a domain', () => {
    expect(parseRoomId('!abc:example.org')).toEqual({ opaqueId: 'abc', serverName: 'example.org' })
    expect(parseRoomId(`!${hash}`)).toEqual({ opaqueId: hash, serverName: undefined })
    expect(parseRoomId('!abc')).toBeUndefined()
    expect(parseRoomId(`!${hash}x`)).toBeUndefined()
    expect(parseRoomId(`$${hash}`)).toBeUndefined()
    expect(serverNameOf(`!${hash}`)).toBeUndefined()
  })

  test('aliases', () => {
    expect(isRoomAlias('#ä b/:example.org')).toBe(true)
    expect(isRoomAlias('#a:b:c')).toBe(false)
    expect(isRoomAlias('#a\0:example.org')).toBe(false)
  })

  test.each([
    ['$abc:example.org', 'assigned'],
    ['$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk', 'base64'],
    ['$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg', 'base64url'],
  ] as const)('event id %s is %s', (id, format) => {
    expect(isEventId(id)).toBe(true)
    for (const other of ['assigned', 'base64', 'base64url'] as const) expect(isEventId(id, other)).toBe(other === format)
  })

  test.each(['', '$', 'abc', '$abc', '!abc:example.org', `$${'a'.repeat(44)}`])('%p is no event id', (text) => {
    expect(isEventId(text)).toBe(false)
  })

  test('key ids', () => {
    expect(parseKeyId('ed25519:abc')).toEqual({ algorithm: 'ed25519', name: 'abc' })
    expect(parseKeyId('signed_curve25519:AA:BB')).toEqual({ algorithm: 'signed_curve25519', name: 'AA:BB' })
    for (const bad of ['ed25519', ':a', 'a:', '']) expect(parseKeyId(bad)).toBeUndefined()
    expect(isServerKeyId('ed25519:a_1')).toBe(true)
    expect(isServerKeyId('ed25519:a-1')).toBe(false)
  })
})

describe('unpadded Base64 (appendices, "Unpadded Base64")', () => {
  test.each([
    ['', ''],
    ['f', 'Zg'],
    ['fo', 'Zm8'],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg'],
    ['fooba', 'Zm9vYmE'],
    ['foobar', 'Zm9vYmFy'],
  ])('%p is %p', (text, encoded) => {
    expect(encodeBase64(Buffer.from(text))).toBe(encoded)
    expect(Buffer.from(decodeBase64(encoded) as Uint8Array).toString()).toBe(text)
  })

  test('padding is accepted, rubbish is not', () => {
    expect(decodeBase64('Zg==')).toEqual(new Uint8Array([0x66]))
    for (const bad of ['Z', 'Zg=x', 'Z g', 'Zm9v-', 'Zg\n']) expect(decodeBase64(bad)).toBeUndefined()
  })

  test('bytes come back', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(decodeBase64(encodeBase64(bytes))).toEqual(bytes)
        expect(decodeBase64Url(encodeBase64Url(bytes))).toEqual(bytes)
      }),
    )
  })
})

describe('errors', () => {
  test('status from the table, fields, the errcode wins', () => {
    const error = new MatrixError('M_LIMIT_EXCEEDED', 'Slow down', {
      fields: { retry_after_ms: 5, errcode: 'X' },
      headers: { 'Retry-After': '1' },
    })
    expect(error.status).toBe(429)
    expect(JSON.parse(JSON.stringify(error))).toEqual({ errcode: 'M_LIMIT_EXCEEDED', error: 'Slow down', retry_after_ms: 5 })
    expect(new MatrixError('M_UNRECOGNIZED', 'x', { status: 405 }).status).toBe(405)
  })

  test('every status is one of an error', () => {
    for (const status of Object.values(errcodeStatus)) expect(status).toBeGreaterThanOrEqual(400)
  })
})
