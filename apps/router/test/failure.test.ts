import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { Bench, json, until, Worker } from './harness.ts'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})
afterEach(() => bench.close())

const versions = '/_matrix/client/versions'
const syncPath = '/_matrix/client/v3/sync'
const state = '/_matrix/client/v3/rooms/!a:x/state/m.room.topic'
const create = '/_matrix/client/v3/createRoom'
const send = (txn: string | number) => `/_matrix/client/v3/rooms/!a:x/send/m.room.message/${txn}`

describe('hold', () => {
  test("the writer's requests wait while there is none, and go to the next in order, once each", async () => {
    await bench.worker('sync-1', 'sync')
    const router = await bench.router()
    const sends = Array.from({ length: 20 }, (_, i) => bench.call('PUT', send(i), { body: `{"n":${i}}` }))
    const creation = bench.call('POST', create, { body: '{}' })
    await until(() => router.holding.requests === 21)
    expect((await bench.call('GET', versions)).status).toBe(200)
    const writer = await bench.worker('writer-1', 'writer')
    expect((await Promise.all([...sends, creation])).map((answer) => answer.status)).toEqual(Array(21).fill(200))
    expect(writer.seen.map((seen) => seen.body).sort()).toEqual([...Array.from({ length: 20 }, (_, i) => `{"n":${i}}`), '{}'].sort())
    expect(bench.counted.held).toBe(21)
    expect(router.holding.requests).toBe(0)
  })

  test('after the time allowed a held request is answered 503 with Retry-After and CORS', async () => {
    await bench.router({ holdMs: 120 })
    const answer = await bench.call('PUT', send(1), { body: '{}' })
    expect(answer.status).toBe(503)
    expect(json(answer).errcode).toBe('M_UNKNOWN')
    expect(answer.headers['retry-after']).toBe('1')
    expect(answer.headers['access-control-allow-origin']).toBe('*')
  })

  test('it is bounded in requests and in bytes', async () => {
    const router = await bench.router({ heldRequests: 2, heldBytes: 20_000 })
    const held = [bench.call('PUT', send(1), { body: '{}' })]
    await until(() => router.holding.requests === 1)
    expect((await bench.call('PUT', send(2), { body: 'x'.repeat(20_000) })).status).toBe(503)
    held.push(bench.call('PUT', send(3), { body: '{}' }))
    await until(() => router.holding.requests === 2)
    expect((await bench.call('PUT', send(4), { body: '{}' })).status).toBe(503)
    await bench.worker('writer-1', 'writer')
    expect((await Promise.all(held)).map((answer) => answer.status)).toEqual([200, 200])
  })

  test('a client that leaves while it is held frees its place, and nothing is sent for it', async () => {
    const router = await bench.router()
    const socket = connect(bench.port, '127.0.0.1')
    socket.write(`PUT ${send(1)} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}`)
    await until(() => router.holding.requests === 1)
    socket.destroy()
    await until(() => router.holding.requests === 0 && router.inFlight === 0)
    const writer = await bench.worker('writer-1', 'writer')
    await bench.call('PUT', send(2), { body: '{}' })
    expect(writer.seen).toHaveLength(1)
  })

  test.each(['x-weft-not-active', 'x-weft-draining'])(
    'a 503 with %s was refused before anything was done: the request waits for the next writer',
    async (header) => {
      const old = await bench.worker('writer-old', 'writer', (_req, res) => {
        res.writeHead(503, { [header]: '1' })
        res.end('{"errcode":"M_UNKNOWN"}')
      })
      const router = await bench.router()
      const creation = bench.call('POST', create, { body: '{"name":"x"}' })
      await until(() => old.seen.length > 0 && router.holding.requests === 1)
      old.state = 'draining'
      const next = await new Worker('writer-next', 'writer').start()
      bench.directory.list(old, next)
      expect(json(await creation)).toEqual({ by: 'writer-next' })
      expect(next.seen[0]?.body).toBe('{"name":"x"}')
      await next.kill()
    },
  )

  test('an ordinary 503 of a worker is its answer', async () => {
    const writer = await bench.worker('writer-1', 'writer', (_req, res) => {
      res.writeHead(503, { 'retry-after': '7' })
      res.end('{"errcode":"M_UNKNOWN"}')
    })
    await bench.router()
    const answer = await bench.call('PUT', send(1), { body: '{}' })
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '7'])
    expect(writer.seen).toHaveLength(1)
  })
})

describe('a worker dies', () => {
  test('a refused connection sends any request elsewhere, and sets the instance aside', async () => {
    const alive = await bench.worker('sync-1', 'sync')
    const dead = await bench.worker('sync-2', 'sync')
    await bench.router()
    await dead.kill()
    for (let i = 0; i < 20; i++) {
      const path = `/_matrix/client/v3/rooms/!${i}:x/state/m.room.name`
      expect(json(await bench.call('GET', path))).toEqual({ by: 'sync-1' })
    }
    expect(alive.seen).toHaveLength(20)
    expect(bench.counted.retried.length).toBeGreaterThan(0)
    expect(bench.counted.retried.length).toBeLessThan(10)
  })

  test('requests held for a writer that refuses connections reach it once it is back at the same address', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    const router = await bench.router()
    const port = writer.port
    await writer.kill()
    const requests = [
      bench.call('POST', create, { body: '1' }),
      bench.call('PUT', send(1), { body: '2' }),
      bench.call('PUT', send(2), { body: '3' }),
    ]
    await until(() => router.holding.requests === 3)
    const again = await new Worker('writer-1', 'writer').start(port)
    expect((await Promise.all(requests)).map((answer) => answer.status)).toEqual([200, 200, 200])
    expect(again.seen.map((seen) => seen.body).sort()).toEqual(['1', '2', '3'])
    await again.kill()
  })

  test('killed before its answer: what is idempotent is repeated at the next writer, with its body; the rest is 502', async () => {
    const dying = await bench.worker('writer-1', 'writer', () => {})
    await bench.router()
    const repeatable = [
      bench.call('PUT', send(1), { body: '{"body":"put"}' }),
      bench.call('POST', '/_matrix/client/v3/filter', { body: '{"body":"filter"}' }),
    ]
    const creation = bench.call('POST', create, { body: '{}' })
    await until(() => dying.seen.length === 3)
    await dying.kill()
    const lost = await creation
    expect([lost.status, json(lost).errcode]).toEqual([502, 'M_UNKNOWN'])
    const next = await new Worker('writer-2', 'writer').start()
    bench.directory.list(next)
    expect((await Promise.all(repeatable)).map(json)).toEqual([{ by: 'writer-2' }, { by: 'writer-2' }])
    expect(next.seen.map((seen) => seen.body).sort()).toEqual(['{"body":"filter"}', '{"body":"put"}'])
    await next.kill()
  })

  test('a long poll whose sync process is killed goes on at another', async () => {
    const waiting = await bench.worker('sync-1', 'sync', () => {})
    await bench.router()
    const poll = bench.call('GET', `${syncPath}?since=s1`)
    await until(() => waiting.seen.length === 1)
    const other = await bench.worker('sync-2', 'sync')
    await waiting.kill()
    expect(json(await poll)).toEqual({ by: 'sync-2' })
    expect(other.seen[0]?.url).toBe(`${syncPath}?since=s1`)
  })

  test('the time allowed counts from the death of the process, not from the beginning of a long poll', async () => {
    const waiting = await bench.worker('sync-1', 'sync', () => {})
    const router = await bench.router({ holdMs: 1_500 })
    const began = performance.now()
    const poll = bench.call('GET', syncPath)
    await until(() => waiting.seen.length === 1 && performance.now() - began > 1_600)
    await waiting.kill()
    await until(() => router.holding.requests === 1)
    await bench.worker('sync-2', 'sync')
    expect(json(await poll)).toEqual({ by: 'sync-2' })
  })

  test('killed in the middle of a large answer: the client sees that it is cut', async () => {
    const worker = await bench.worker('sync-1', 'sync', (_req, res) => {
      res.writeHead(200, { 'content-length': 10_000_000 })
      res.write(Buffer.alloc(500_000))
    })
    await bench.router()
    const socket = connect(bench.port, '127.0.0.1')
    socket.write(`GET ${syncPath} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await new Promise((resolve) => socket.once('data', resolve))
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.resume()
    socket.on('error', () => {})
    await worker.kill()
    await closed
    await until(() => bench.counted.ended.length === 1)
    expect(bench.counted.retried).toEqual([])
  })

  test('killed in the middle of a small answer, none of which the client has seen: repeated where that is safe', async () => {
    const worker = await bench.worker('sync-1', 'sync', (_req, res) => {
      res.writeHead(200, { 'content-length': 1000 })
      res.write(Buffer.alloc(500))
    })
    await bench.router()
    const poll = bench.call('GET', syncPath)
    await until(() => worker.seen.length === 1)
    await bench.worker('sync-2', 'sync')
    await worker.kill()
    expect(json(await poll)).toEqual({ by: 'sync-2' })
  })

  test('an upload to an instance that refuses connections goes to another, complete', async () => {
    const dead = await bench.worker('media-1', 'media')
    await bench.router()
    await dead.kill()
    const alive = await bench.worker('media-2', 'media', (_req, res, seen) => res.end(String(seen.body.length)))
    for (let i = 0; i < 3; i++) {
      const answer = await bench.call('POST', '/_matrix/media/v3/upload', { body: Buffer.alloc(2_000_000) })
      expect(answer.body.toString()).toBe('2000000')
    }
    expect(alive.seen).toHaveLength(3)
  })

  test('an upload whose worker dies is 502: its body is gone', async () => {
    const dying = await bench.worker('media-1', 'media')
    let began = false
    dying.server.removeAllListeners('request')
    dying.server.on('request', (req) => {
      began = true
      req.resume()
    })
    await bench.router()
    const body = Buffer.alloc(1_000_000)
    const answer = bench.call('POST', '/_matrix/media/v3/upload', { body })
    await until(() => began)
    await dying.kill()
    expect((await answer).status).toBe(502)
  })
})

describe('discovery', () => {
  test('an instance that vanishes without its goodbye is kept while it answers, and given up when it does not', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    await bench.router({ holdMs: 100 })
    // Redis was flushed, or is gone.
    bench.directory.list()
    for (let i = 0; i < 3; i++) expect((await bench.call('PUT', send(i), { body: '{}' })).status).toBe(200)
    await until(() => writer.seen.some((seen) => seen.url === '/_weft/probe'))
    expect((await bench.call('PUT', send(9), { body: '{}' })).status).toBe(200)
    await writer.kill()
    expect((await bench.call('PUT', send(10), { body: '{}' })).status).toBe(503)
  })

  test('a stopped process (kill -STOP) that vanishes is given up, and its long polls go on elsewhere', async () => {
    const stopped = await bench.worker('sync-1', 'sync', () => {})
    await bench.router()
    const poll = bench.call('GET', syncPath)
    await until(() => stopped.seen.length === 1)
    const other = await new Worker('sync-2', 'sync').start()
    bench.directory.list(other)
    expect(json(await poll)).toEqual({ by: 'sync-2' })
    await other.kill()
  })

  test('a writer that a newer one replaced is asked nothing more, and what it still holds goes to the new one', async () => {
    const stopped = await bench.worker('writer-1', 'writer', () => {})
    stopped.epoch = 1
    bench.directory.list(stopped)
    await bench.router()
    const hanging = bench.call('PUT', send(1), { body: '{}' })
    await until(() => stopped.seen.length === 1)
    const next = await new Worker('writer-2', 'writer').start()
    next.epoch = 2
    bench.directory.list(stopped, next)
    expect(json(await bench.call('PUT', send(2), { body: '{}' }))).toEqual({ by: 'writer-2' })
    expect(json(await hanging)).toEqual({ by: 'writer-2' })
    // Discovery goes on listing it until its time to live is over.
    bench.directory.list(next, stopped)
    expect(json(await bench.call('PUT', send(3), { body: '{}' }))).toEqual({ by: 'writer-2' })
    expect(stopped.seen).toHaveLength(1)
    // It is the writer once more; that it stood by in between may have gone unseen.
    stopped.epoch = 3
    stopped.handle((_req, res) => void res.end('{"by":"writer-1"}'))
    bench.directory.list(next, stopped)
    expect(json(await bench.call('PUT', send(4), { body: '{}' }))).toEqual({ by: 'writer-1' })
    await next.kill()
  })

  test('with discovery silent, a standby that took over is found by asking, and then serves everything', async () => {
    const writer = await bench.worker('writer-1', 'writer')
    const standby = await bench.worker('writer-2', 'writer')
    standby.state = 'standby'
    let active = false
    standby.handle((_req, res) => {
      if (!active) res.writeHead(503, { 'x-weft-not-active': '1' })
      res.end('{"by":"writer-2"}')
    })
    bench.directory.list(writer, standby)
    const router = await bench.router()
    await writer.kill()
    const sends = Array.from({ length: 5 }, (_, i) => bench.call('PUT', send(i), { body: '{}' }))
    await until(() => standby.seen.length >= 1 && router.holding.requests === 5)
    active = true
    expect((await Promise.all(sends)).map((answer) => json(answer))).toEqual(Array(5).fill({ by: 'writer-2' }))
    expect(json(await bench.call('POST', create, { body: '{}' }))).toEqual({ by: 'writer-2' })
    // Discovery speaks again, and knows a newer one: no other instance is the writer then, whatever was found out before.
    const newest = await new Worker('writer-3', 'writer').start()
    newest.epoch = 3
    const asked = standby.seen.length
    bench.directory.list(standby, newest)
    expect(json(await bench.call('PUT', send(6), { body: '{}' }))).toEqual({ by: 'writer-3' })
    expect(standby.seen).toHaveLength(asked)
    await newest.kill()
  })

  test('a writer that stands by is not taken for the writer because it still answers what it was asked before', async () => {
    let finish: (() => void) | undefined
    const before = await bench.worker('writer-1', 'writer', (_req, res) => {
      finish = () => {
        res.writeHead(503)
        res.end('{}')
      }
    })
    await bench.router()
    const late = bench.call('PUT', send(1), { body: '{}' })
    await until(() => finish !== undefined)
    before.state = 'standby'
    bench.directory.list(before)
    finish?.()
    expect((await late).status).toBe(503)
    const waiting = bench.call('PUT', send(2), { body: '{}' })
    const next = await new Worker('writer-2', 'writer').start()
    next.epoch = 2
    bench.directory.list(before, next)
    expect(json(await waiting)).toEqual({ by: 'writer-2' })
    expect(before.seen).toHaveLength(1)
    await next.kill()
  })
})

describe('drain', () => {
  test('stops accepting, says Connection: close, and finishes what is in flight', async () => {
    let finish: (() => void) | undefined
    const sync = await bench.worker('sync-1', 'sync', (_req, res) => {
      finish = () => res.end('{"done":true}')
    })
    const router = await bench.router()
    const slow = bench.call('GET', state)
    await until(() => sync.seen.length === 1)
    const drained = router.drain(20_000)
    await expect(bench.call('GET', versions)).rejects.toThrow(/ECONNREFUSED|ECONNRESET/)
    finish?.()
    const answer = await slow
    expect(json(answer)).toEqual({ done: true })
    expect(answer.headers.connection).toBe('close')
    await drained
    expect(router.inFlight).toBe(0)
  })

  test('long polls end at once, with the answers of their worker, and those that still come do not wait', async () => {
    const sync = await bench.worker('sync-1', 'sync', (req, res) => {
      if (req.headers['x-weft-no-wait'] === '1') res.end('{"next_batch":"s2"}')
    })
    const router = await bench.router()
    const polls = Array.from({ length: 250 }, () => bench.call('GET', `${syncPath}?timeout=30000`, { headers: { 'x-weft-no-wait': '1' } }))
    const socket = connect(bench.port, '127.0.0.1')
    const texts: string[] = []
    socket.on('data', (chunk: Buffer) => texts.push(chunk.toString()))
    await new Promise((resolve) => socket.once('connect', resolve))
    await until(() => sync.seen.length === 250)
    const drained = router.drain(20_000)
    socket.write(`GET ${syncPath}?timeout=30000 HTTP/1.1\r\nHost: a\r\n\r\n`)
    for (const answer of await Promise.all(polls)) {
      expect([answer.status, json(answer), answer.headers.connection]).toEqual([200, { next_batch: 's2' }, 'close'])
    }
    await drained
    expect(texts.join('')).toMatch(/^HTTP\/1.1 200 .*s2/s)
    expect(sync.seen).toHaveLength(501)
    expect(bench.counted.ended.filter(({ status }) => status !== 200)).toEqual([])
  })

  test('what has no answer at the deadline gets 503, and held requests get it at once', async () => {
    const sync = await bench.worker('sync-1', 'sync', () => {})
    const router = await bench.router()
    const slow = bench.call('GET', state)
    const held = bench.call('PUT', send(1), { body: '{}' })
    await until(() => sync.seen.length === 1 && router.holding.requests === 1)
    const drained = router.drain(300)
    const first = await held
    expect([first.status, first.headers['retry-after'], first.headers.connection]).toEqual([503, '1', 'close'])
    expect((await slow).status).toBe(503)
    await drained
  })

  test('a request on a connection that was idle is still served, and ends it; what stays idle is closed', async () => {
    const sync = await bench.worker('sync-1', 'sync')
    const router = await bench.router()
    const open = async () => {
      const socket = connect(bench.port, '127.0.0.1')
      const texts: string[] = []
      socket.on('data', (chunk: Buffer) => texts.push(chunk.toString()))
      socket.write(`GET ${versions} HTTP/1.1\r\nHost: a\r\n\r\n`)
      await until(() => texts.join('').includes('sync-1'))
      return { socket, texts, closed: new Promise((resolve) => socket.once('close', resolve)) }
    }
    const active = await open()
    const idle = await open()
    const drained = router.drain(20_000)
    active.texts.length = 0
    active.socket.write(`GET ${versions} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await active.closed
    expect(active.texts.join('')).toMatch(/^HTTP\/1.1 200 .*connection: close/s)
    expect(sync.seen).toHaveLength(3)
    await idle.closed
    await drained
  })
})
