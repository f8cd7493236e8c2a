import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { describe, expect, test } from '@jest/globals'
import { HttpServer, InFlight, rawJsonObject } from '../src/index.ts'
import { echo, sendRaw, startServer } from './harness.ts'

const silent = { info: () => {}, warn: () => {}, error: () => {} }

describe('HttpServer', () => {
  test('what is no HTTP is refused in the form of every other error', async () => {
    await using server = await startServer([echo(), echo({ id: 'put', method: 'PUT', path: '/put', body: rawJsonObject })])
    const refused: [string, string, string][] = [
      ['400', 'M_UNKNOWN', 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n'],
      ['400', 'M_UNKNOWN', 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'],
      ['400', 'M_UNKNOWN', 'PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}'],
      ['400', 'M_UNKNOWN', 'PUT /put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
      ['400', 'M_UNKNOWN', 'garbage\r\n\r\n'],
      ['431', 'M_TOO_LARGE', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
    ]
    for (const [status, errcode, text] of refused) {
      const answer = await sendRaw(server.port, text)
      expect([text.slice(0, 60), answer.slice(9, 12)]).toEqual([text.slice(0, 60), status])
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({ errcode })
      expect(answer).toContain('access-control-allow-origin: *')
    }
  })

  test('R32 a slow-loris loses its connection, in its head and in its body', async () => {
    const inFlight = new InFlight(10)
    const server = new HttpServer({ listener: () => {}, inFlight, log: silent, headersTimeoutMs: 100, requestTimeoutMs: 200 })
    const { port } = await server.listen(0)
    const answers = await Promise.all([
      sendRaw(port, 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow:'),
      sendRaw(port, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{'),
    ])
    for (const answer of answers) expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    await server.stop(1000)
  })

  test('stops gracefully: idle connections at once, the one in flight after its answer', async () => {
    const { promise: go, resolve: release } = Promise.withResolvers<void>()
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>()
    const slow = echo({
      handler: async () => {
        arrive()
        await go
        return { json: { done: true } }
      },
    })
    const test = await startServer([slow])
    const idle = net.connect(test.port, '127.0.0.1')
    await once(idle, 'connect')
    const answer = test.send('GET', '/_matrix/client/v3/echo')
    await arrived
    test.drain.abort()
    const stopped = test.server.stop(60_000)
    await once(idle, 'close')
    await expect(once(http.get({ port: test.port, agent: false }), 'response')).rejects.toThrow('ECONNREFUSED')
    release()
    expect((await answer).json).toEqual({ done: true })
    await stopped
  })

  test('the deadline ends what does not end by itself', async () => {
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>()
    const stuck = echo({
      handler: () => {
        arrive()
        return new Promise(() => {})
      },
    })
    const test = await startServer([stuck])
    const answer = test.send('GET', '/_matrix/client/v3/echo')
    const failed = expect(answer).rejects.toThrow('socket hang up')
    await arrived
    test.drain.abort()
    await test.server.stop(50)
    await failed
    const [line] = await test.accessLines(1)
    expect(line?.status).toBe(499)
  })

  test('says which address is taken', async () => {
    await using first = await startServer([echo()])
    const second = new HttpServer({ listener: () => {}, inFlight: new InFlight(1), log: silent })
    await expect(second.listen(first.port)).rejects.toThrow(`127.0.0.1:${first.port} is taken by another program`)
  })
})
