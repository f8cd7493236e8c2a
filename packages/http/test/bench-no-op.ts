/**
 * CPU per request of a mounted endpoint against bare node:http: `pnpm exec node packages/http/test/bench-no-op.ts`.
 * Each server is a process of its own, asked over kept connections; its CPU time is divided by the requests it answered.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { createLogger, Metrics } from '@weft/kernel'
import express from 'express'
import {
  type AnyEndpoint,
  endpointListener,
  httpMetrics,
  InFlight,
  Matcher,
  type MountOptions,
  mountEndpoints,
  Registry,
  rawJsonObject,
  Traffic,
} from '../src/index.ts'
import { ALICE, echo } from './harness.ts'

const REQUESTS = 4000
const ROUNDS = 25
const CONNECTIONS = 16
const REPLY = { event_id: '$abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG' }
const BODY = JSON.stringify({ msgtype: 'm.text', body: 'Hello, this is an ordinary message of ordinary length.' })

const endpoints: AnyEndpoint[] = [
  echo({ id: 'noop', path: '/_matrix/client/versions', handler: async () => ({ json: REPLY }) }),
  echo({
    id: 'send',
    method: 'PUT',
    path: '/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}',
    aliases: ['r0'],
    auth: 'accessToken',
    affinity: 'roomId',
    rateLimit: 'message',
    body: rawJsonObject,
    handler: async () => ({ json: REPLY }),
  }),
  // Company for the matcher: about as many routes as the client-server API has.
  ...Array.from({ length: 120 }, (_, i) =>
    echo({ id: `more${i}`, path: `/_matrix/client/v3/rooms/{roomId}/more${i}/{x}`, aliases: ['r0'] }),
  ),
]

type Listener = (request: IncomingMessage, response: ServerResponse) => void

function mountOptions(): MountOptions {
  return {
    registry: new Registry(endpoints),
    services: { writer: {} },
    authenticator: { authenticate: async () => ALICE },
    rateLimiter: { check: async () => {} },
    log: createLogger({ level: 'info', format: 'json', write: () => {} }),
    clock: { monotonic: () => performance.now() },
    edge: { trustedSecret: 'a secret of the usual length, 32 bytes' },
    traffic: new Traffic({
      inFlight: new InFlight(10_000),
      metrics: new Metrics().use(httpMetrics),
      draining: new AbortController().signal,
    }),
  }
}

function bare(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    if (chunks.length > 0) JSON.parse(Buffer.concat(chunks).toString())
    const text = JSON.stringify(REPLY)
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
  })
}

const servers: Record<string, () => Listener> = {
  'bare node:http': () => bare,
  'bare Express': () => express().disable('x-powered-by').disable('etag').use(bare) as unknown as Listener,
  'endpointListener on node:http': () => endpointListener(mountOptions()),
  'mountEndpoints on Express': () => {
    const app = express().disable('x-powered-by').disable('etag')
    mountEndpoints(app, mountOptions())
    return app as unknown as Listener
  },
}

const kind = process.argv[2]
if (kind === undefined) await measureAll()
else serve((servers[kind] as () => Listener)())

function serve(listener: Listener): void {
  const server = createServer(listener).listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.on('message', () => process.send?.(process.cpuUsage()))
}

async function measureAll(): Promise<void> {
  const get = 'GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n'
  const put = `PUT /_matrix/client/v3/rooms/!abcdefghijklmnop%3Alocalhost/send/m.room.message/txn1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAuthorization: Bearer wft_YWxpY2U_0123456789abcdefghijklmnopqrstuv\r\nX-Weft-Internal-Secret: a secret of the usual length, 32 bytes\r\nX-Weft-Request-Id: abcdef-1\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`
  const children = new Map(Object.keys(servers).map((name) => [name, fork(import.meta.filename, [name])]))
  const ports = new Map<string, number>()
  for (const [name, child] of children) ports.set(name, ((await once(child, 'message')) as [number])[0])
  // Rounds in turn, and the best of each: what else the machine does comes and goes.
  const best = new Map<string, number>()
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, child] of children) {
      for (const [what, request] of Object.entries({ 'GET no-op': get, 'PUT send': put })) {
        const before = await cpuOf(child)
        await ask(ports.get(name) as number, request, REQUESTS)
        const micros = ((await cpuOf(child)) - before) / REQUESTS
        best.set(`${name}: ${what}`, Math.min(micros, best.get(`${name}: ${what}`) ?? Number.POSITIVE_INFINITY))
      }
    }
  }
  for (const child of children.values()) child.kill()
  for (const [what, micros] of best) console.log(`${what}: ${micros.toFixed(1)} µs CPU a request`)
  const matcher = new Matcher(endpoints)
  const path = '/_matrix/client/v3/rooms/!abcdefghijklmnop%3Alocalhost/send/m.room.message/txn1'
  for (let i = 0; i < 200_000; i++) matcher.match('PUT', path)
  const started = performance.now()
  for (let i = 0; i < 1_000_000; i++) matcher.match('PUT', path)
  console.log(`Matcher: ${(performance.now() - started).toFixed(0)} ns a match of the send path`)
}

async function cpuOf(child: ChildProcess): Promise<number> {
  child.send('cpu')
  const [usage] = (await once(child, 'message')) as [NodeJS.CpuUsage]
  return usage.user + usage.system
}

/** Asks over kept connections, each with one request under way. Answers are told apart by their one-write size. */
async function ask(port: number, request: string, count: number): Promise<void> {
  let left = count
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = net.connect(port, '127.0.0.1')
      socket.setNoDelay(true)
      socket.write(request)
      for await (const chunk of socket) {
        if (!(chunk as Buffer).includes('event_id')) continue
        if (--left <= 0) break
        socket.write(request)
      }
      socket.destroy()
    }),
  )
}
