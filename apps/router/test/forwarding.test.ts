import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Edge } from '@weft/http'
import { Bench, json, until } from './harness.ts'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.close())

const versions = '/_matrix/client/versions'
const syncPath = '/_matrix/client/v3/sync'
const upload = '/_matrix/media/v3/upload'
const download = '/_matrix/client/v1/media/download/x/y'

describe('R41: headers', () => {
  const lies = {
    'X-Weft-Internal-Secret': 'guess',
    'x-weft-request-id': 'mine',
    'X-WEFT-anything': '1',
    Forwarded: 'for=1.2.3.4',
    'X-Forwarded-For': '1.2.3.4',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'evil',
    'X-Real-IP': '1.2.3.4',
    'X-Original-URL': '/admin',
  }

  test.each([
    ['by undici', 'GET', versions],
    ['by http-proxy', 'GET', download],
  ])("a client's internal and forwarding headers are replaced by the router's own (%s)", async (_by, method, path) => {
    const sync = await bench.worker('sync-1', 'sync')
    const media = await bench.worker('media-1', 'media')
    await bench.router()
    await bench.call(method, path, { headers: lies })
    const headers = (sync.seen[0] ?? media.seen[0])?.headers
    expect(headers?.['x-weft-internal-secret']).toBe('internal-secret')
    expect(headers?.['x-weft-request-id']).toMatch(/^[\w-]{8,}-0$/)
    expect(headers?.['x-forwarded-for']).toBe('127.0.0.1')
    for (const gone of ['x-weft-anything', 'forwarded', 'x-forwarded-proto', 'x-forwarded-host', 'x-real-ip', 'x-original-url']) {
      expect(headers).not.toHaveProperty(gone)
    }
  })

  test('a Connection header cannot take the internal ones away, and takes what it names', async () => {
    const sync = await bench.worker('sync-1', 'sync')
    await bench.router()
    await bench.raw(
      `GET ${versions} HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\nConnection: close, X-Hop, x-weft-internal-secret, x-forwarded-for\r\n\r\n`,
    )
    const headers = sync.seen[0]?.headers
    expect(headers?.['x-weft-internal-secret']).toBe('internal-secret')
    expect(headers?.['x-forwarded-for']).toBe('127.0.0.1')
    expect(headers?.connection).toBe('keep-alive')
    for (const gone of ['x-hop', 'te', 'proxy-authorization']) expect(headers).not.toHaveProperty(gone)
  })

  test("behind a trusted proxy the client's address is the nearest that is not trusted", async () => {
    const sync = await bench.worker('sync-1', 'sync')
    await bench.router({}, {}, new Edge({ xForwarded: true, trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] }))
    await bench.call('GET', versions, { headers: { 'x-forwarded-for': '6.6.6.6, 198.51.100.7, 10.1.2.3' } })
    expect(sync.seen[0]?.headers['x-forwarded-for']).toBe('198.51.100.7')
  })

  test('internal and hop-by-hop headers of an answer stay inside', async () => {
    await bench.worker('sync-1', 'sync', (_req, res) => {
      res.writeHead(200, { 'x-weft-internal-thing': '1', 'keep-alive': 'timeout=1', 'x-hop': '1', connection: 'x-hop', 'x-stays': '1' })
      res.end('{}')
    })
    await bench.router()
    const { headers } = await bench.call('GET', versions)
    expect(headers['x-stays']).toBe('1')
    for (const gone of ['x-weft-internal-thing', 'x-hop']) expect(headers).not.toHaveProperty(gone)
    expect(headers['keep-alive']).not.toBe('timeout=1')
  })

  test('a chunked DELETE carries its body inside one request', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    await bench.router()
    const smuggled = 'POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'
    const text = await bench.raw(
      `DELETE /_matrix/client/v3/devices/A HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
    )
    expect(text).toMatch(/^HTTP\/1.1 200/)
    expect(writer.seen.map(({ method, body }) => [method, body])).toEqual([['DELETE', smuggled]])
  })

  test.each([versions, download])('odd bytes in a query of %s reach the worker as they are, or are refused', async (path) => {
    const workers = [await bench.worker('sync-1', 'sync'), await bench.worker('media-1', 'media')]
    await bench.router()
    for (const odd of ['\xe9', '\x7f', '\x80\xff', '\\', '"', '{}', '%00', '#x', '[', '|']) {
      const text = await bench.raw(`GET ${path}?x=${odd} HTTP/1.1\r\nHost: a\r\nX-Odd: \xe9\r\nConnection: close\r\n\r\n`)
      expect(text).toMatch(/^HTTP\/1.1 (200|400) /)
      const seen = workers.flatMap((worker) => worker.seen.splice(0))
      expect(seen.map((one) => one.url)).toEqual(text.startsWith('HTTP/1.1 200') ? [`${path}?x=${odd}`] : [])
    }
  })

  test('a request with both lengths is refused', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    await bench.router()
    const text = await bench.raw(
      'POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    )
    expect(text).toMatch(/^HTTP\/1.1 400/)
    expect(writer.seen).toHaveLength(0)
  })
})

describe('bodies', () => {
  test('a DELETE with a body keeps its connection to the worker', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    await bench.router()
    for (let i = 0; i < 3; i++) await bench.call('DELETE', '/_matrix/client/v3/devices/A', { body: '{"auth":{}}' })
    expect(writer.seen.map((seen) => seen.body)).toEqual(['{"auth":{}}', '{"auth":{}}', '{"auth":{}}'])
    expect(writer.sockets.size).toBe(1)
  })

  test.each([0, 1, 1000, 96 * 1024, 96 * 1024 + 1, 3_000_000])('a POST of %d bytes arrives whole, and so does its answer', async (size) => {
    await bench.worker('writer-1', 'writer', (_req, res, seen) => res.end(seen.body))
    await bench.router()
    const body = 'x'.repeat(size)
    const answer = await bench.call('POST', '/_matrix/client/v3/createRoom', { body })
    expect(answer.status).toBe(200)
    expect(answer.body.toString() === body).toBe(true)
  })

  test('an upload streams: the worker has its first bytes before the client has sent the last', async () => {
    const media = await bench.worker('media-1', 'media')
    const hash = createHash('sha256')
    let received = 0
    media.server.removeAllListeners('request')
    media.server.on('request', (req, res) => {
      req.on('data', (chunk: Buffer) => {
        received += chunk.length
        hash.update(chunk)
      })
      req.on('end', () => res.end(hash.digest('hex')))
    })
    await bench.router()
    const data = randomBytes(5_000_000)
    const answer = await new Promise<string>((resolve, reject) => {
      const req = request(
        { host: '127.0.0.1', port: bench.port, method: 'POST', path: upload, headers: { 'transfer-encoding': 'chunked' } },
        (res) => {
          let text = ''
          res.on('data', (chunk: Buffer) => {
            text += chunk
          })
          res.on('end', () => resolve(text))
        },
      )
      req.on('error', reject)
      req.write(data.subarray(0, 1_000_000))
      void until(() => received > 0).then(() => req.end(data.subarray(1_000_000)))
    })
    expect(answer).toBe(createHash('sha256').update(data).digest('hex'))
  })

  test.each([
    ['by undici', syncPath, 'sync'],
    ['by http-proxy', download, 'media'],
  ] as const)('an answer streams, and a client that does not read stops the worker (%s)', async (_by, path, serving) => {
    const total = 64 * 1024 * 1024
    let written = 0
    let blocked = false
    await bench.worker(`${serving}-1`, serving, (_req, res) => {
      const chunk = Buffer.alloc(64 * 1024, 'a')
      const more = () => {
        while (written < total) {
          written += chunk.length
          if (!res.write(chunk)) {
            blocked = true
            res.once('drain', more)
            return
          }
        }
        res.end()
      }
      more()
    })
    await bench.router()
    const socket = connect(bench.port, '127.0.0.1')
    socket.pause()
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    // Blocked for good once buffers everywhere are full: the count then stays over many turns.
    let last = -1
    let still = 0
    await until(() => {
      still = blocked && written === last ? still + 1 : 0
      last = written
      return still > 5_000
    })
    expect(written).toBeLessThan(total / 2)
    let read = 0
    socket.on('data', (chunk: Buffer) => {
      read += chunk.length
    })
    socket.resume()
    await new Promise((resolve) => socket.on('close', resolve))
    expect(read).toBeGreaterThanOrEqual(total)
  })

  test('a worker that refuses an upload early is heard', async () => {
    const media = await bench.worker('media-1', 'media')
    media.server.removeAllListeners('request')
    media.server.on('request', (req, res) => {
      res.writeHead(413, { 'content-type': 'application/json' })
      res.end('{"errcode":"M_TOO_LARGE"}')
      req.resume()
    })
    await bench.router()
    const answer = await bench.call('POST', upload, { body: Buffer.alloc(4_000_000) })
    expect(answer.status).toBe(413)
  })

  test('a body that announces too much is refused before a worker is asked, and not waited for (R32)', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    await bench.router({ bodyMs: 150 })
    const text = await bench.raw('POST /_matrix/client/v3/bounded HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n{"name":')
    expect(text).toMatch(/^HTTP\/1.1 413/)
    expect(text).toContain('M_TOO_LARGE')
    const whole = await bench.call('POST', '/_matrix/client/v3/bounded', { body: Buffer.alloc(4_000_000) })
    expect(whole.status).toBe(413)
    expect(writer.seen).toHaveLength(0)
  })

  test('a body that stops half-way is answered 408', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    await bench.router({ bodyMs: 150 })
    const text = await bench.raw(
      'POST /_matrix/client/v3/createRoom HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nConnection: close\r\n\r\n{"name":',
    )
    expect(text).toMatch(/^HTTP\/1.1 408/)
    expect(writer.seen).toHaveLength(0)
  })
})

describe('the client leaves', () => {
  test.each([
    ['a long poll by undici', syncPath, 'sync'],
    ['a download by http-proxy', download, 'media'],
  ] as const)('the worker learns of it: %s', async (_what, path, serving) => {
    let gone = 0
    const worker = await bench.worker(`${serving}-1`, serving, (_req, res) => res.on('close', () => gone++))
    const router = await bench.router()
    const socket = connect(bench.port, '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await until(() => worker.seen.length === 1)
    socket.destroy()
    await until(() => gone === 1 && router.inFlight === 0)
    expect(bench.counted.ended).toEqual([expect.objectContaining({ status: 0 })])
  })

  test('an upload that breaks off is broken off at the worker', async () => {
    const media = await bench.worker('media-1', 'media')
    let aborted = false
    let began = false
    media.server.removeAllListeners('request')
    media.server.on('request', (req) => {
      began = true
      req.on('data', () => {})
      req.on('error', () => {
        aborted = true
      })
    })
    await bench.router()
    const socket = connect(bench.port, '127.0.0.1')
    socket.write(`POST ${upload} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc`)
    await until(() => began)
    socket.destroy()
    await until(() => aborted)
  })

  test('in the middle of an answer: the worker stops writing', async () => {
    let closed = false
    await bench.worker('sync-1', 'sync', (_req, res) => {
      res.write('a'.repeat(100_000))
      res.on('close', () => {
        closed = true
      })
    })
    await bench.router()
    const socket = connect(bench.port, '127.0.0.1')
    socket.write(`GET ${syncPath} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await new Promise((resolve) => socket.once('data', resolve))
    socket.destroy()
    await until(() => closed)
  })
})

test('a thousand long polls stand side by side, and other requests pass', async () => {
  const waiting: (() => void)[] = []
  const sync = await bench.worker('sync-1', 'sync', (req, res) => {
    if (req.url === versions) res.end('{"ok":true}')
    else waiting.push(() => res.end('{}'))
  })
  await bench.router()
  const polls = Array.from({ length: 1000 }, () => bench.call('GET', syncPath))
  await until(() => waiting.length === 1000)
  expect(sync.sockets.size).toBe(1000)
  expect(json(await bench.call('GET', versions))).toEqual({ ok: true })
  for (const answer of waiting) answer()
  expect((await Promise.all(polls)).every((answer) => answer.status === 200)).toBe(true)
})

test('beyond its bound a router sheds load', async () => {
  const sync = await bench.worker('sync-1', 'sync', () => {})
  await bench.router({ inFlight: 2 })
  const polls = [bench.call('GET', syncPath), bench.call('GET', syncPath)].map((poll) => poll.catch(() => undefined))
  await until(() => sync.seen.length === 2)
  const answer = await bench.call('GET', versions)
  expect(answer.status).toBe(503)
  expect(answer.headers['retry-after']).toBe('2')
  await bench.close()
  await Promise.all(polls)
})
