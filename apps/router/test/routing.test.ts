import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Bench, json, until, type Worker } from './harness.ts'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.close())

const send = (room: string, txn = '1') => `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${txn}`

describe('path to class', () => {
  test('the first class that serves an endpoint and is there gets the request', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    await bench.router()
    expect(json(await bench.call('GET', '/_matrix/client/versions'))).toEqual({ by: 'writer-1' })
    const sync = await bench.worker('sync-1', 'sync')
    expect(json(await bench.call('GET', '/_matrix/client/versions'))).toEqual({ by: 'sync-1' })
    expect(json(await bench.call('PUT', send('!a:x'), { body: '{}' }))).toEqual({ by: 'writer-1' })
    expect(writer.seen.map((seen) => seen.method)).toEqual(['GET', 'PUT'])
    expect(sync.seen).toHaveLength(1)
    await until(() => bench.counted.ended.length === 3)
    expect(bench.counted.ended[2]).toEqual({ endpoint: 't.send', servingClass: 'writer', status: 200 })
  })

  test('of two ready writers the one with the higher epoch is the writer; a standby is none', async () => {
    const old = await bench.worker('writer-old', 'writer')
    const fresh = await bench.worker('writer-new', 'writer')
    const standby = await bench.worker('writer-standby', 'writer')
    old.epoch = 4
    fresh.epoch = 5
    standby.state = 'standby'
    bench.directory.list(fresh, standby, old)
    await bench.router()
    for (let i = 0; i < 5; i++) expect(json(await bench.call('PUT', send(`!${i}:x`), { body: '{}' }))).toEqual({ by: 'writer-new' })
  })

  test('method, raw path, query, body, status and headers pass unchanged, both ways', async () => {
    const worker = await bench.worker('writer-1', 'writer', (_req, res) => {
      res.writeHead(418, ['X-One', '1', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Content-Type', 'application/json'])
      res.end('{"errcode":"M_FORBIDDEN"}')
    })
    await bench.router()
    const path = `${send('!a:x', 'a%2Fb%20%E2%82%AC')}?x=%2F..%2F&x=2&y=?z`
    const answer = await bench.call('PUT', path, {
      body: '{"body":"\\u0000€"}',
      headers: { 'Content-Type': 'application/json', 'X-Custom': 'yes' },
    })
    expect(answer.status).toBe(418)
    expect(answer.headers['x-one']).toBe('1')
    expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(answer.body.toString()).toBe('{"errcode":"M_FORBIDDEN"}')
    expect(worker.seen[0]).toMatchObject({ method: 'PUT', url: path, body: '{"body":"\\u0000€"}' })
    expect(worker.seen[0]?.headers).toMatchObject({ 'x-custom': 'yes', host: `127.0.0.1:${bench.port}` })
    expect(worker.seen[0]?.rawHeaders).toContain('X-Custom')
  })

  test('a HEAD is served where a GET is', async () => {
    const worker = await bench.worker('sync-1', 'sync')
    await bench.router()
    for (let i = 0; i < 2; i++) {
      const answer = await bench.call('HEAD', '/_matrix/client/versions')
      expect([answer.status, answer.body.length]).toEqual([200, 0])
    }
    expect(worker.seen[0]?.method).toBe('HEAD')
  })
})

describe('R33: routes are anchored and the raw path is split before it is decoded', () => {
  test.each([
    '/x/_matrix/client/versions',
    '/_matrix/client/versions/extra',
    '//_matrix/client/versions',
    '/_matrix//client/versions',
    '/_matrix/client/v3/../versions',
    '/_matrix/client/./versions',
    '/_matrix/client%2Fversions',
    '/_matrix/client/v3/rooms/%21a:x/send/m.room.message',
    '/_weft/internal',
    '/metrics',
    '/health',
    '/',
    '*',
  ])('%s is 404 M_UNRECOGNIZED with CORS, and no worker sees it', async (path) => {
    const worker = await bench.worker('writer-1', 'writer')
    await bench.router()
    const answer = await bench.call('GET', path)
    expect(answer.status).toBe(404)
    expect(json(answer).errcode).toBe('M_UNRECOGNIZED')
    expect(answer.headers['access-control-allow-origin']).toBe('*')
    expect(worker.seen).toHaveLength(0)
    expect(bench.counted.answeredHere).toEqual([404])
  })

  test('%2F inside a parameter is data and reaches the worker as it was sent', async () => {
    const worker = await bench.worker('sync-1', 'sync')
    await bench.router()
    const path = '/_matrix/client/v3/rooms/%21a%2Fb:x/state/a%2F..%2Fb/'
    expect((await bench.call('GET', path)).status).toBe(200)
    expect(worker.seen[0]?.url).toBe(path)
  })

  test('a parameter that is no UTF-8 is 400', async () => {
    await bench.worker('sync-1', 'sync')
    await bench.router()
    expect((await bench.call('GET', '/_matrix/client/v3/rooms/%ff/state/m.x')).status).toBe(400)
  })

  test('a wrong method is 405 with Allow and CORS; OPTIONS is answered anywhere', async () => {
    await bench.worker('writer-1', 'writer')
    await bench.router()
    const wrong = await bench.call('DELETE', '/_matrix/client/versions')
    expect(wrong.status).toBe(405)
    expect(wrong.headers.allow).toBe('GET, OPTIONS')
    expect(json(wrong).errcode).toBe('M_UNRECOGNIZED')
    expect(wrong.headers['access-control-allow-origin']).toBe('*')
    for (const path of ['/_matrix/client/versions', '/nowhere']) {
      const preflight = await bench.call('OPTIONS', path)
      expect(preflight.status).toBe(204)
      expect(preflight.headers['access-control-allow-headers']).toContain('Authorization')
    }
  })

  test('a WebSocket upgrade is 404, and the connection ends', async () => {
    await bench.worker('sync-1', 'sync')
    await bench.router()
    const text = await bench.raw('GET /_matrix/client/v3/sync HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    expect(text).toMatch(/^HTTP\/1.1 404 .*M_UNRECOGNIZED/s)
  })

  test('bytes that are no HTTP are answered 400 as JSON with CORS', async () => {
    await bench.router()
    expect(await bench.raw('NONSENSE\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*access-control-allow-origin: \*.*M_UNKNOWN/s)
  })
})

describe('affinity', () => {
  const home = (answer: Awaited<ReturnType<Bench['call']>>) => String(json(answer).by)

  async function syncs(n: number): Promise<Worker[]> {
    const workers: Worker[] = []
    for (let i = 0; i < n; i++) workers.push(await bench.worker(`sync-${i}`, 'sync'))
    return workers
  }

  test('a room has one home, however its id is written; an instance that leaves moves only its own rooms', async () => {
    const workers = await syncs(3)
    await bench.router()
    const rooms = Array.from({ length: 60 }, (_, i) => `!room${i}:example.org`)
    const homes = new Map<string, string>()
    for (const room of rooms) {
      const at = (path: string) => bench.call('GET', `/_matrix/client/v3/rooms/${path}/state/m.room.name`).then(home)
      const encoded = await at(encodeURIComponent(room))
      expect(await at(room)).toBe(encoded)
      homes.set(room, encoded)
    }
    expect(new Set(homes.values()).size).toBe(3)
    workers[1]!.state = 'draining'
    bench.directory.list(...workers)
    for (const room of rooms) {
      const now = home(await bench.call('GET', `/_matrix/client/v3/rooms/${room}/state/m.room.name`))
      if (homes.get(room) === 'sync-1') expect(now).not.toBe('sync-1')
      else expect(now).toBe(homes.get(room))
    }
  })

  test('a user has one home with any of his tokens, in the header or the query; a foreign token is placed by address', async () => {
    await syncs(4)
    await bench.router()
    const homes = new Set<string>()
    for (let i = 0; i < 30; i++) {
      const hint = Buffer.from(`user${i}`).toString('base64url')
      const get = (token: string) =>
        bench.call('GET', '/_matrix/client/v3/sync', { headers: { authorization: `Bearer ${token}` } }).then(home)
      const first = await get(`wft_${hint}_${'r'.repeat(20)}${i}`)
      expect(await get(`wft_${hint}_other_${i}`)).toBe(first)
      expect(await bench.call('GET', `/_matrix/client/v3/sync?timeout=1&access_token=wft_${hint}_third`).then(home)).toBe(first)
      homes.add(first)
    }
    expect(homes.size).toBe(4)
    const anonymous = new Set<string>()
    for (const token of ['a', 'syt_b', 'wft_'])
      anonymous.add(home(await bench.call('GET', '/_matrix/client/v3/sync', { headers: { authorization: `Bearer ${token}` } })))
    expect(anonymous.size).toBe(1)
  })

  test('two routers place alike', async () => {
    await syncs(3)
    await bench.router()
    const first = bench.port
    await bench.router()
    for (let i = 0; i < 20; i++) {
      const path = `/_matrix/client/v3/rooms/!${i}:x/state/m.room.name`
      expect(home(await bench.call('GET', path, { port: first }))).toBe(home(await bench.call('GET', path)))
    }
  })
})
