/**
 * CPU of the router per small request, beside a bare node:http + undici pass-through on the same load.
 * Run: `pnpm exec node apps/router/test/measure.ts [requests] [connections]`. Each role is a process of its own, so that
 * the figure is the proxy's alone.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client } from 'undici'
import { httpProbe } from '../src/lost-instances.ts'
import { RegistryRoutes } from '../src/route.ts'
import { defaultLimits, Router } from '../src/router.ts'
import { registry } from './harness.ts'

const path = '/_matrix/client/v3/rooms/%21abcdefgh%3Aexample.org/send/m.room.message/m1700000000.1'
const token = 'wft_YWxpY2U_abcdefghijklmnopqrstuvwxyz0123456789'

async function worker(): Promise<void> {
  const answer = '{"event_id":"$abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"}'
  const server = createServer({ keepAliveTimeout: 75_000 }, (req, res) => {
    req.on('data', () => {})
    req.on('end', () => {
      res.writeHead(200, {
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET, HEAD, POST, PUT, DELETE, OPTIONS',
        'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization, Date',
        'x-request-id': 'abc-1',
        'content-type': 'application/json',
        'content-length': answer.length,
      })
      res.end(answer)
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
}

function reportCpu(): void {
  let before = process.cpuUsage()
  process.on('message', (message) => {
    const used = process.cpuUsage(before)
    before = process.cpuUsage()
    if (message === 'cpu') process.send?.(used.user + used.system)
  })
}

async function weft(workerPort: number): Promise<void> {
  const router = new Router({
    routes: new RegistryRoutes(registry),
    directory: {
      instances: () => [{ instance: 'writer-1', class: 'writer', host: '127.0.0.1', port: workerPort, state: 'ready' }],
      onChange: () => () => {},
    },
    secret: 'secret-secret-secret',
    limits: defaultLimits,
    clock: { monotonic: () => performance.now() },
    log: { debug() {}, info() {}, warn() {} },
    probe: httpProbe,
    observer: { ended() {}, retried() {}, held() {}, upstream() {}, upstreamFailed() {}, answeredHere() {} },
  })
  reportCpu()
  process.send?.(await router.listen(0, '127.0.0.1'))
}

async function bare(workerPort: number): Promise<void> {
  const idle: Client[] = []
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const client = idle.pop() ?? new Client(`http://127.0.0.1:${workerPort}`)
      const headers: string[] = []
      for (let i = 0; i < req.rawHeaders.length; i += 2) {
        if (!/^(connection|content-length)$/i.test(req.rawHeaders[i]!)) headers.push(req.rawHeaders[i]!, req.rawHeaders[i + 1]!)
      }
      client.dispatch(
        { method: req.method ?? 'GET', path: req.url ?? '/', headers, body: Buffer.concat(chunks) },
        {
          onRequestStart() {},
          onResponseStart(_controller, status, answer) {
            delete answer.connection
            delete answer['keep-alive']
            res.writeHead(status, answer)
          },
          onResponseData: (_controller, chunk) => void res.write(chunk),
          onResponseEnd() {
            idle.push(client)
            res.end()
          },
          onResponseError: () => res.destroy(),
        },
      )
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  reportCpu()
}

/** Sends `count` requests over `connections` connections, each waiting for its answer. */
async function load(port: number, count: number, connections: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const body = '{"msgtype":"m.text","body":"a message of ordinary length, as people write them"}'
  const latencies: number[] = []
  let left = count
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const start = performance.now()
      const req = request(
        {
          host: '127.0.0.1',
          port,
          method: 'PUT',
          path,
          agent,
          headers: {
            authorization: `Bearer ${token}`,
            'content-type': 'application/json',
            'content-length': body.length,
            'user-agent': 'measure/1',
            accept: 'application/json',
          },
        },
        (res) => {
          if (res.statusCode !== 200) reject(new Error(`status ${res.statusCode}`))
          res.on('data', () => {})
          res.on('end', () => {
            latencies.push(performance.now() - start)
            resolve()
          })
        },
      )
      req.on('error', reject)
      req.end(body)
    })
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (left-- > 0) await one()
    }),
  )
  agent.destroy()
  return latencies.sort((a, b) => a - b)
}

async function spawn(role: string, ...args: string[]): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(import.meta.filename, [role, ...args], { stdio: 'inherit' })
  const port = await new Promise<number>((resolve) => child.once('message', (message) => resolve(message as number)))
  return { child, port }
}

async function cpu(child: ChildProcess): Promise<number> {
  const answer = new Promise<number>((resolve) => child.once('message', (message) => resolve(message as number)))
  child.send('cpu')
  return answer
}

async function main(): Promise<void> {
  const count = Number(process.argv[2] ?? 40_000)
  const connections = Number(process.argv[3] ?? 32)
  const upstream = await spawn('worker')
  const proxies = { bare: await spawn('bare', String(upstream.port)), weft: await spawn('weft', String(upstream.port)) }
  const figures: Record<string, number[]> = { bare: [], weft: [] }
  for (let round = 0; round < 4; round++) {
    for (const [name, { child, port }] of Object.entries(proxies)) {
      await cpu(child)
      const start = performance.now()
      const latencies = await load(port, count, connections)
      const micros = (await cpu(child)) / count
      const rate = count / ((performance.now() - start) / 1000)
      // The first round warms up.
      if (round > 0) figures[name]?.push(micros)
      console.log(
        `${name} round ${round}: ${micros.toFixed(1)} µs CPU a request, ${rate.toFixed(0)}/s, p50 ${latencies[count >> 1]?.toFixed(2)} ms, p95 ${latencies[Math.floor(count * 0.95)]?.toFixed(2)} ms`,
      )
    }
  }
  for (const [name, values] of Object.entries(figures))
    console.log(`${name}: median ${values.sort((a, b) => a - b)[1]?.toFixed(1)} µs CPU a request`)
  for (const { child } of [upstream, ...Object.values(proxies)]) child.kill()
}

const roles: Record<string, (port: number) => Promise<void>> = { worker, weft, bare }
await (roles[process.argv[2] ?? ''] ?? main)(Number(process.argv[3]))
