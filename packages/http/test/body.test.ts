import { once } from 'node:events'
import net from 'node:net'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { isJsonObject } from '@weft/matrix'
import { z } from 'zod'
import { rawJsonObject } from '../src/index.ts'
import { echo, type SendOptions, startServer } from './harness.ts'

const RAW = '/raw'
const TYPED = '/typed'
const endpoints = [
  echo({ id: 'raw', method: 'POST', path: RAW, body: rawJsonObject, maxBodyBytes: 100_000 }),
  echo({
    id: 'typed',
    method: 'POST',
    path: TYPED,
    body: z.object({
      name: z.string().max(10),
      count: z.int().min(0).optional(),
      kind: z.enum(['a', 'b']).optional(),
      inner: z.object({ list: z.array(z.string()) }).optional(),
      content: z.custom(isJsonObject, 'expected object').optional(),
    }),
  }),
  echo({ id: 'optional', method: 'POST', path: '/optional', body: z.object({ reason: z.string().optional() }), bodyOptional: true }),
  echo({ id: 'query', path: '/query', query: z.object({ limit: z.coerce.number().int().optional(), from: z.string() }) }),
]

describe('bodies', () => {
  test('must be a JSON object in UTF-8, whatever the content type says', async () => {
    await using server = await startServer(endpoints)
    const refused: [string, SendOptions['body'] | undefined][] = [
      ['M_NOT_JSON', undefined],
      ['M_NOT_JSON', ''],
      ['M_NOT_JSON', '{'],
      ['M_NOT_JSON', '{"a":1}x'],
      ['M_NOT_JSON', 'a=b'],
      ['M_NOT_JSON', '\ufeff{}'],
      ['M_NOT_JSON', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
      ['M_NOT_JSON', '{"a":"\0"}'],
      ['M_BAD_JSON', '[]'],
      ['M_BAD_JSON', 'null'],
      ['M_BAD_JSON', '"x"'],
      ['M_BAD_JSON', '5'],
      ['M_BAD_JSON', '{"a":"\\ud800"}'],
      ['M_BAD_JSON', `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ]
    for (const [errcode, body] of refused) {
      const answer = await server.send('POST', RAW, { body })
      expect([body, answer.status, answer.json.errcode]).toEqual([body, 400, errcode])
    }
    for (const type of ['application/json; charset=utf-8', 'text/plain', 'application/x-www-form-urlencoded', 'garbage', '']) {
      expect((await server.send('POST', RAW, { body: '{"a":"\\u0000"}', headers: { 'content-type': type } })).status).toBe(200)
    }
  })

  test('an empty body is {} only where the endpoint says so', async () => {
    await using server = await startServer(endpoints)
    expect((await server.send('POST', '/optional')).json.body).toEqual({})
    expect((await server.send('POST', '/optional', { body: '' })).json.body).toEqual({})
    expect((await server.send('POST', '/optional', { body: '{"reason":1}' })).json.errcode).toBe('M_BAD_JSON')
    expect((await server.send('POST', TYPED)).json.errcode).toBe('M_NOT_JSON')
  })

  test('R32 multipart in any case and compressed bodies are refused', async () => {
    await using server = await startServer(endpoints)
    for (const type of ['multipart/form-data; boundary=x', 'MultiPart/Mixed', ' MULTIPART/x']) {
      const answer = await server.send('POST', RAW, { body: '{}', headers: { 'content-type': type } })
      expect([answer.status, answer.json.errcode]).toEqual([415, 'M_NOT_JSON'])
    }
    const bomb = gzipSync(Buffer.alloc(10_000_000, 0x20))
    for (const encoding of ['gzip', 'br', 'deflate', 'identity, gzip', 'GZIP']) {
      const answer = await server.send('POST', RAW, { body: bomb, headers: { 'content-encoding': encoding } })
      expect([answer.status, answer.json.errcode]).toEqual([415, 'M_NOT_JSON'])
    }
    expect((await server.send('POST', RAW, { body: '{}', headers: { 'content-encoding': 'identity' } })).status).toBe(200)
  })

  test('R32 limits bodies per route, announced or not, and the client sees the answer', async () => {
    await using server = await startServer(endpoints)
    const fits = JSON.stringify({ a: 'x'.repeat(99_992) })
    expect([fits.length, (await server.send('POST', RAW, { body: fits })).status]).toEqual([100_000, 200])
    for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
      for (const size of [100_001, 500_000]) {
        const answer = await server.send('POST', RAW, { body: 'x'.repeat(size), headers })
        expect([answer.status, answer.json.errcode, answer.headers.connection]).toEqual([413, 'M_TOO_LARGE', 'close'])
      }
    }
    expect((await server.send('POST', RAW, { body: '{}' })).status).toBe(200)
  })

  test('R32 all bodies together are bounded in bytes', async () => {
    await using server = await startServer(endpoints, { maxBodyBytesHeld: 50_000 })
    const answer = await server.send('POST', RAW, { body: { a: 'x'.repeat(60_000) } })
    expect([answer.status, answer.json.errcode, answer.headers['retry-after']]).toEqual([503, 'M_UNKNOWN', '1'])
    for (let i = 0; i < 3; i++) expect((await server.send('POST', RAW, { body: { a: 'x'.repeat(40_000) } })).status).toBe(200)
  })

  test('a refused request without a body read does not disturb the next one on its connection', async () => {
    await using server = await startServer([
      ...endpoints,
      echo({ id: 'auth', method: 'POST', path: '/auth', auth: 'accessToken', body: rawJsonObject }),
    ])
    for (let i = 0; i < 3; i++) {
      expect((await server.send('POST', '/auth', { body: { a: 'x'.repeat(50_000) } })).status).toBe(401)
      expect((await server.send('POST', '/nowhere', { body: { a: 1 } })).status).toBe(404)
      expect((await server.send('POST', RAW, { body: { a: 1 } })).status).toBe(200)
    }
  })
})

test('a client that leaves in the middle of its body is no error, and gives back what it held', async () => {
  await using server = await startServer(endpoints, { maxBodyBytesHeld: 100_000 })
  for (let i = 1; i <= 3; i++) {
    const socket = net.connect(server.port, '127.0.0.1')
    socket.write(`POST ${RAW} HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n${'x'.repeat(80_000)}`)
    await once(socket, 'drain')
    socket.destroy()
    const lines = await server.accessLines(i)
    expect(lines[i - 1]).toMatchObject({ endpoint: 'raw', status: 499 })
  }
  expect((await server.send('POST', RAW, { body: { a: 'x'.repeat(80_000) } })).status).toBe(200)
  expect(server.lines.filter((line) => line.level === 'error')).toEqual([])
})

describe('validation', () => {
  test('names the field and what was expected, and never quotes what was sent', async () => {
    await using server = await startServer(endpoints)
    const refused: [string, string, unknown][] = [
      ['M_MISSING_PARAM', 'name is missing', {}],
      ['M_BAD_JSON', 'name: Invalid input: expected string, received number', { name: 5 }],
      ['M_BAD_JSON', 'name: Invalid input: expected string, received null', { name: null }],
      ['M_INVALID_PARAM', 'name: Too big: expected string to have <=10 characters', { name: 'hunter2hunter2' }],
      ['M_INVALID_PARAM', 'count: Too small: expected number to be >=0', { name: 'n', count: -1 }],
      ['M_INVALID_PARAM', 'kind: Invalid option: expected one of "a"|"b"', { name: 'n', kind: 'hunter2' }],
      ['M_BAD_JSON', 'inner.list is missing', { name: 'n', inner: {} }],
      ['M_BAD_JSON', 'inner.list[1]: Invalid input: expected string, received number', { name: 'n', inner: { list: ['a', 1] } }],
      ['M_INVALID_PARAM', 'content: expected object', { name: 'n', content: [] }],
      ['M_BAD_JSON', 'The body contains NUL (\\u0000)', { name: 'a\0' }],
      ['M_BAD_JSON', 'The body contains NUL (\\u0000)', { name: 'a', content: { '\0': [] } }],
    ]
    for (const [errcode, error, body] of refused) {
      const answer = await server.send('POST', TYPED, { body: JSON.stringify(body) })
      expect([answer.status, answer.json]).toEqual([400, { errcode, error }])
      expect(answer.text).not.toContain('hunter2')
    }
    expect((await server.send('POST', TYPED, { body: '{"name":"\\\\u0000"}' })).json.body.name).toBe('\\u0000')
    expect((await server.send('POST', TYPED, { body: '{"name":"n","count":1.5}' })).json.errcode).toBe('M_BAD_JSON')
  })

  test('queries are M_INVALID_PARAM, M_MISSING_PARAM', async () => {
    await using server = await startServer(endpoints)
    const refused: [string, string][] = [
      ['M_MISSING_PARAM', ''],
      ['M_MISSING_PARAM', '?limit=5'],
      ['M_INVALID_PARAM', '?from=a&limit=x'],
      ['M_INVALID_PARAM', '?from=a&limit=1.5'],
      ['M_INVALID_PARAM', '?from=a%00'],
    ]
    for (const [errcode, query] of refused) {
      const answer = await server.send('GET', `/query${query}`)
      expect([query, answer.status, answer.json.errcode]).toEqual([query, 400, errcode])
    }
    expect((await server.send('GET', '/query?from=a&from=b&limit=7&__proto__=x&%zz')).json.query).toEqual({ from: 'a', limit: 7 })
  })

  test('R43 keys of Object.prototype are no fields of a body and no parameters of a query', async () => {
    await using server = await startServer([
      echo({ id: 'trap', method: 'POST', path: '/trap', body: z.object({ toString: z.string() }) }),
      echo({ id: 'qtrap', path: '/qtrap', query: z.object({ valueOf: z.string().optional() }) }),
    ])
    const missing = await server.send('POST', '/trap', { body: '{}' })
    expect([missing.status, missing.json.errcode]).toEqual([400, 'M_MISSING_PARAM'])
    const polluted = await server.send('POST', '/trap', { body: '{"toString":"a","__proto__":{"toString":"b","polluted":true}}' })
    expect(polluted.json.body).toEqual({ toString: 'a' })
    expect((await server.send('GET', '/qtrap')).json.query).toEqual({})
    expect({}).not.toHaveProperty('polluted')
  })

  test('R45 content passes untouched: as a raw body, and through z.custom inside a checked one', async () => {
    await using server = await startServer(endpoints)
    const content = '{"__proto__":{"a":1},"n":1.0,"big":12345678901234567890}'
    const raw = await server.send('POST', RAW, { body: content })
    expect(raw.text).toContain(`"value":${content}`)
    const typed = await server.send('POST', TYPED, { body: `{"name":"n","content":${content}}` })
    expect(typed.text).toContain(`"content":${content}`)
  })
})
