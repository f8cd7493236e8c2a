import { once } from 'node:events'
import http from 'node:http'
import { Readable } from 'node:stream'
import { describe, expect, test } from '@jest/globals'
import { Metrics } from '@weft/kernel'
import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { httpMetrics, InFlight, internalHeaders, ReplyError, rawJsonObject, Traffic } from '../src/index.ts'
import { echo, held, startServer } from './harness.ts'

const ECHO = '/_matrix/client/v3/echo'

describe('mountEndpoints', () => {
  test('hands over parameters, query, requester, body and the services of the class', async () => {
    const endpoint = echo({
      method: 'PUT',
      path: '/_matrix/client/v3/rooms/{roomId}/send/{txnId}',
      auth: 'accessToken',
      servedBy: ['sync', 'writer'],
      query: z.object({ ts: z.coerce.number().optional(), via: z.array(z.string()).default([]) }),
      body: rawJsonObject,
    })
    await using server = await startServer([endpoint])
    const path = '/_matrix/client/v3/rooms/!r%3Ahs/send/t%2F1?ts=5&via=a&via=b&unknown=x'
    const answer = await server.send('PUT', path, { token: 'wft_alice_1', body: '{"b": 1.50}' })
    expect(answer.status).toBe(200)
    expect(answer.json).toMatchObject({
      ctx: { name: 'writer' },
      params: { roomId: '!r:hs', txnId: 't/1' },
      query: { ts: 5, via: ['a', 'b'] },
      requester: { userId: '@alice:hs' },
      body: { text: '{"b": 1.50}' },
    })
    expect(answer.text).toContain('"value":{"b":1.50}')
    expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'content-length': String(answer.text.length) })
    expect(answer.headers).not.toHaveProperty('x-powered-by')
    expect(answer.headers).not.toHaveProperty('etag')
  })

  test('serves several classes in one process, each endpoint by the first of its classes that is here', async () => {
    const endpoints = [
      echo({ id: 'a', path: '/a', servedBy: ['sync', 'writer'] }),
      echo({ id: 'b', path: '/b', servedBy: ['writer'] }),
      echo({ id: 'c', path: '/c', servedBy: ['media'] }),
    ]
    await using single = await startServer(endpoints, { services: { writer: { name: 'writer' }, sync: { name: 'sync' } } })
    expect((await single.send('GET', '/a')).json.ctx).toEqual({ name: 'sync' })
    expect((await single.send('GET', '/b')).json.ctx).toEqual({ name: 'writer' })
    const elsewhere = await single.send('GET', '/c')
    expect([elsewhere.status, elsewhere.json.errcode]).toEqual([404, 'M_UNRECOGNIZED'])
  })

  test('answers for handlers of a class that it is no more, and throws away what they still come to', async () => {
    const { endpoint: waits, arrived, release } = held({ id: 'w', path: '/w', servedBy: ['writer'] })
    const endpoints = [waits, echo({ id: 's', path: '/s', servedBy: ['sync'] })]
    await using server = await startServer(endpoints, { services: { writer: { name: 'writer' }, sync: { name: 'sync' } } })
    const waiting = server.send('GET', '/w')
    await arrived
    server.mounted.abandon('sync')
    expect(server.inFlight.count).toBe(1)
    server.mounted.abandon('writer')
    const answer = await waiting
    expect([answer.status, answer.headers['retry-after'], answer.json.errcode]).toEqual([503, '1', 'M_UNKNOWN'])
    release({ json: { too: 'late' } })
    expect((await server.send('GET', '/s')).json.ctx).toEqual({ name: 'sync' })
    expect((await server.accessLines(2)).map((line) => line.status)).toEqual([503, 200])
    expect(server.lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('replies with JSON, spliced text or a stream, with status and headers; HEAD without the body', async () => {
    const endpoints = [
      echo({
        id: 'text',
        path: '/text',
        handler: async () => ({ status: 201, headers: { 'Cache-Control': 'no-store' }, jsonText: '{"ä":1}' }),
      }),
      echo({
        id: 'stream',
        path: '/stream',
        handler: async () => ({ stream: Readable.from(['{"a"', ':1}']), contentType: 'application/json' }),
      }),
    ]
    await using server = await startServer(endpoints)
    const text = await server.send('GET', '/text')
    expect([text.status, text.text, text.headers['cache-control'], text.headers['content-length']]).toEqual([
      201,
      '{"ä":1}',
      'no-store',
      '8',
    ])
    const head = await server.send('HEAD', '/text')
    expect([head.status, head.text, head.headers['content-length']]).toEqual([201, '', '8'])
    expect((await server.send('GET', '/stream')).json).toEqual({ a: 1 })
  })

  test('writes a very large text in pieces that never cut a character', async () => {
    const letters = ['a', 'ä', '€', '😀', '😀x']
    let text = ''
    while (text.length < 1_500_000) text += letters[text.length % letters.length]
    await using server = await startServer([
      echo({ id: 'large', path: '/large', handler: async () => ({ jsonText: JSON.stringify(text) }) }),
    ])
    const answer = await server.send('GET', '/large')
    expect(answer.status).toBe(200)
    // Not toEqual: a difference would be printed.
    expect(answer.json === text).toBe(true)
    expect((await server.send('HEAD', '/large')).text).toBe('')
  })

  test('404 for an unknown path, 405 with Allow for a wrong method, CORS on all of them and on OPTIONS', async () => {
    await using server = await startServer([echo()])
    const unknown = await server.send('GET', '/_matrix/client/v3/nothing')
    const wrong = await server.send('POST', ECHO)
    const odd = await server.send('PATCH', ECHO)
    expect([unknown.status, unknown.json.errcode]).toEqual([404, 'M_UNRECOGNIZED'])
    expect([wrong.status, wrong.json.errcode, wrong.headers.allow]).toEqual([405, 'M_UNRECOGNIZED', 'GET, OPTIONS'])
    expect([odd.status, odd.json.errcode]).toEqual([405, 'M_UNRECOGNIZED'])
    for (const path of [ECHO, '/nowhere']) {
      const preflight = await server.send('OPTIONS', path)
      expect([preflight.status, preflight.text]).toEqual([204, ''])
      expect(preflight.headers['access-control-allow-headers']).toBe('X-Requested-With, Content-Type, Authorization, Date')
    }
    for (const answer of [unknown, wrong, await server.send('GET', ECHO)]) expect(answer.headers['access-control-allow-origin']).toBe('*')
  })

  test('turns errors into their replies: MatrixError, ReplyError, unavailable, and a bug once in the log', async () => {
    class Gone extends Error {}
    const failures: Record<string, unknown> = {
      matrix: new MatrixError('M_LIMIT_EXCEEDED', 'Slow down', { fields: { retry_after_ms: 5 }, headers: { 'Retry-After': '1' } }),
      reply: new ReplyError('challenge', { status: 401, headers: {}, body: { flows: [] } }),
      gone: new Gone('connect ECONNREFUSED'),
      bug: new TypeError('secret detail'),
      thrown: 'a string',
    }
    const endpoint = echo({
      path: '/fail/{how}',
      handler: async ({ params }: { params: { how: string } }) => {
        throw failures[params.how]
      },
    })
    const isUnavailable = (error: unknown) => error instanceof Gone && { retryAfterMs: 2500 }
    await using server = await startServer([endpoint], { isUnavailable })
    const limited = await server.send('GET', '/fail/matrix')
    expect([limited.status, limited.json, limited.headers['retry-after']]).toEqual([
      429,
      { errcode: 'M_LIMIT_EXCEEDED', error: 'Slow down', retry_after_ms: 5 },
      '1',
    ])
    const challenge = await server.send('GET', '/fail/reply')
    expect([challenge.status, challenge.json]).toEqual([401, { flows: [] }])
    const unavailable = await server.send('GET', '/fail/gone')
    expect([unavailable.status, unavailable.json.errcode, unavailable.headers['retry-after']]).toEqual([503, 'M_UNKNOWN', '3'])
    for (const how of ['bug', 'thrown']) {
      const bug = await server.send('GET', `/fail/${how}`)
      expect([bug.status, bug.json]).toEqual([500, { errcode: 'M_UNKNOWN', error: 'Internal server error' }])
    }
    expect(server.lines.filter((line) => line.level === 'error').map((line) => line.fields.err)).toEqual([failures.bug, 'a string'])
  })

  test('breaks the connection when a stream fails half-way, and destroys a stream that nobody waits for', async () => {
    const broken = new Readable({ read() {} })
    const { promise: left, resolve } = Promise.withResolvers<void>()
    const late = new Readable({ read() {} })
    const endpoints = [
      echo({ id: 'broken', path: '/broken', handler: async () => ({ stream: broken, contentType: 'application/json' }) }),
      echo({
        id: 'late',
        path: '/late',
        handler: async ({ request }: { request: { signal: AbortSignal } }) => {
          if (!request.signal.aborted) await once(request.signal, 'abort')
          resolve()
          return { stream: late, contentType: 'application/json' }
        },
      }),
    ]
    await using server = await startServer(endpoints)
    broken.push('{"a":')
    const request = http.get({ port: server.port, path: '/broken', agent: false })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    broken.destroy(new Error('disk failed'))
    await expect(response.toArray()).rejects.toThrow('aborted')

    const abandoned = http.get({ port: server.port, path: '/late', agent: false })
    const failed = once(abandoned, 'error')
    await once(abandoned, 'finish')
    abandoned.destroy(new Error('left'))
    await failed
    await left
    if (!late.destroyed) await once(late, 'close')
    expect(late.destroyed).toBe(true)
  })

  test('a bug is logged even when nobody waits for its answer any more; an aborted handler is none', async () => {
    const { promise: failed, resolve: fail } = Promise.withResolvers<void>()
    const left: boolean[] = []
    const waits = (id: string, error: Error) =>
      echo({
        id,
        path: `/${id}`,
        handler: async ({ request }: { request: { signal: AbortSignal; gone: boolean } }) => {
          left.push(request.gone)
          if (!request.signal.aborted) await once(request.signal, 'abort')
          left.push(request.gone)
          if (id === 'bug') fail()
          throw error
        },
      })
    await using server = await startServer([waits('abort', new DOMException('left', 'AbortError')), waits('bug', new TypeError('oops'))])
    for (const id of ['abort', 'bug']) {
      const request = http.get({ port: server.port, path: `/${id}`, agent: false })
      const gone = once(request, 'error')
      await once(request, 'finish')
      request.destroy(new Error('left'))
      await gone
    }
    await failed
    await server.accessLines(2)
    await new Promise(setImmediate)
    expect(server.lines.filter((line) => line.level === 'error').map((line) => line.fields.endpoint)).toEqual(['bug'])
    expect(left).toEqual([false, true, false, true])
  })

  test('request ids and addresses come from the router when it proves itself, else they are made here', async () => {
    await using server = await startServer([echo()], { edge: { trustedSecret: 's3cret' } })
    const claim = { [internalHeaders.requestId]: 'from-router', 'x-forwarded-for': '9.9.9.9' }
    const internal = await server.send('GET', ECHO, { headers: { ...claim, [internalHeaders.secret]: 's3cret' } })
    const forged = await server.send('GET', ECHO, { headers: { ...claim, [internalHeaders.secret]: 'guess' } })
    expect(internal.json).toMatchObject({ requestId: 'from-router', ip: '9.9.9.9' })
    expect(internal.headers['x-request-id']).toBe('from-router')
    expect(forged.json.ip).toBe('127.0.0.1')
    expect(forged.json.requestId).not.toBe('from-router')
  })

  test('a router that drains ends a long poll; a client that claims to be one does not (R41)', async () => {
    const waits = echo({
      longPoll: true,
      handler: async ({ request }: { request: { signal: AbortSignal; draining: AbortSignal } }) => ({
        json: { aborted: request.signal.aborted, draining: request.draining.aborted },
      }),
    })
    await using server = await startServer([waits], { edge: { trustedSecret: 's3cret' } })
    const ask = async (secret: string) =>
      (await server.send('GET', ECHO, { headers: { [internalHeaders.noWait]: '1', [internalHeaders.secret]: secret } })).json
    expect(await ask('s3cret')).toEqual({ aborted: true, draining: true })
    expect(await ask('guess')).toEqual({ aborted: false, draining: false })
    const internal = await server.send('GET', ECHO, { headers: { [internalHeaders.secret]: 's3cret' } })
    expect([internal.json, internal.headers.connection]).toEqual([{ aborted: false, draining: false }, 'keep-alive'])
  })

  test('sheds load beyond its limit', async () => {
    const { endpoint: slow, arrived, release } = held()
    await using server = await startServer([slow], { inFlight: new InFlight(1) })
    const first = server.send('GET', ECHO)
    await arrived
    const second = await server.send('GET', ECHO)
    expect([second.status, second.json.errcode, second.headers['retry-after']]).toEqual([503, 'M_UNKNOWN', '1'])
    release({ json: {} })
    expect((await first).status).toBe(200)
    await server.inFlight.idle()
    expect((await server.send('GET', ECHO)).status).toBe(200)
  })

  test('endpoints that are mounted anew count in the same place, each request once', async () => {
    const metrics = new Metrics()
    const traffic = new Traffic({ inFlight: new InFlight(10), metrics: metrics.use(httpMetrics), draining: new AbortController().signal })
    const { endpoint: slow, arrived, release } = held()
    await using before = await startServer([echo()], { traffic })
    await before.send('GET', ECHO)
    await before.accessLines(1)
    await using after = await startServer([slow], { traffic })
    const answer = after.send('GET', ECHO)
    await arrived
    expect(await metrics.value('weft_http_requests_in_flight')).toBe(1)
    release({ json: {} })
    await answer
    await after.accessLines(1)
    expect(await metrics.value('weft_http_requests_total')).toBe(2)
  })

  test('long polls end early when the process drains, and answers say Connection: close', async () => {
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>()
    const poll = echo({
      handler: async ({ request }: { request: { signal: AbortSignal } }) => {
        arrive()
        await once(request.signal, 'abort')
        return { json: { next_batch: 's1' } }
      },
    })
    await using server = await startServer([poll])
    const answer = server.send('GET', ECHO)
    await arrived
    server.drain.abort()
    expect((await answer).json).toEqual({ next_batch: 's1' })
    expect((await answer).headers.connection).toBe('close')
  })

  test('one access line and one count a request, with the endpoint as label', async () => {
    await using server = await startServer([echo({ auth: 'optionalAccessToken' })])
    await server.send('GET', `${ECHO}?a=b`, { token: 'wft_alice_1', headers: { 'user-agent': 'test/1' } })
    await server.send('GET', '/nowhere/constructor')
    const [first, second] = await server.accessLines(2)
    expect(first).toMatchObject({
      method: 'GET',
      endpoint: 'client.echo',
      path: ECHO,
      status: 200,
      user: '@alice:hs',
      ip: '127.0.0.1',
      userAgent: 'test/1',
    })
    expect(second).toMatchObject({ endpoint: 'none', path: '/nowhere/constructor', status: 404, user: undefined })
    expect(await server.metrics.value('weft_http_requests_total', { endpoint: 'client.echo', status: 200 })).toBe(1)
    expect(await server.metrics.value('weft_http_requests_total', { endpoint: 'none', status: 404 })).toBe(1)
    expect(await server.metrics.value('weft_http_request_duration_seconds', { endpoint: 'client.echo' })).toBe(1)
  })

  test('R34 access tokens are in no log line and no metric, wherever a client puts them', async () => {
    await using server = await startServer([
      echo({ auth: 'accessToken' }),
      echo({
        id: 'bug',
        path: '/bug/{x}',
        auth: 'accessToken',
        handler: async () => {
          throw new Error('boom')
        },
      }),
    ])
    await server.send('GET', ECHO, { token: 'wft_alice_1' })
    await server.send('GET', `${ECHO}?access_token=wft_alice_1`)
    await server.send('GET', '/bug/wft_alice_1', { token: 'wft_alice_1' })
    await server.send('GET', `${ECHO}%3Faccess_token=wft_alice_1`)
    await server.send('GET', `${ECHO}%3Faccess%5ftoken%3Dopaque_secret`)
    await server.send('GET', '/wft%5Falice_1', { headers: { 'user-agent': 'x wft_alice_1' } })
    await server.accessLines(6)
    const logged = JSON.stringify([server.lines, await server.metrics.text()])
    expect(logged).not.toMatch(/alice_1|opaque_secret/)
    expect(logged).toContain('this is a bug')
  })
})
