import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { Edge, endpointFactory, Registry, rawJsonObject, type ServingClass } from '@weft/http'
import { z } from 'zod'
import type { Exchange } from '../src/exchange.ts'
import type { Instance, InstanceDirectory, InstanceState } from '../src/instance.ts'
import { httpProbe } from '../src/lost-instances.ts'
import { RegistryRoutes } from '../src/route.ts'
import { defaultLimits, Router, type RouterLimits, type RouterOptions } from '../src/router.ts'

const defineEndpoint = endpointFactory<{ writer: object; sync: object; media: object }>()
const empty = z.object({})
async function handler() {
  return { json: {} }
}

/** Endpoints of the shapes that a router tells apart; workers behind it are plain HTTP servers. */
export const registry = new Registry([
  defineEndpoint({
    id: 't.versions',
    method: 'GET',
    path: '/_matrix/client/versions',
    auth: 'none',
    servedBy: ['sync', 'writer'],
    affinity: 'none',
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.send',
    method: 'PUT',
    path: '/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}',
    auth: 'accessToken',
    servedBy: ['writer'],
    affinity: 'roomId',
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.state',
    method: 'GET',
    path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}',
    auth: 'accessToken',
    servedBy: ['sync', 'writer'],
    affinity: 'roomId',
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.create',
    method: 'POST',
    path: '/_matrix/client/v3/createRoom',
    auth: 'accessToken',
    servedBy: ['writer'],
    affinity: 'user',
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.bounded',
    method: 'POST',
    path: '/_matrix/client/v3/bounded',
    auth: 'accessToken',
    servedBy: ['writer'],
    affinity: 'user',
    body: rawJsonObject,
    maxBodyBytes: 200_000,
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.filter',
    method: 'POST',
    path: '/_matrix/client/v3/filter',
    auth: 'accessToken',
    servedBy: ['writer'],
    affinity: 'user',
    idempotent: true,
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.device',
    method: 'DELETE',
    path: '/_matrix/client/v3/devices/{deviceId}',
    auth: 'accessToken',
    servedBy: ['writer'],
    affinity: 'user',
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.sync',
    method: 'GET',
    path: '/_matrix/client/v3/sync',
    auth: 'accessToken',
    servedBy: ['sync'],
    affinity: 'user',
    longPoll: true,
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.upload',
    method: 'POST',
    path: '/_matrix/media/v3/upload',
    auth: 'accessToken',
    servedBy: ['media'],
    affinity: 'none',
    response: empty,
    handler,
  }),
  defineEndpoint({
    id: 't.download',
    method: 'GET',
    path: '/_matrix/client/v1/media/download/{serverName}/{mediaId}',
    auth: 'accessToken',
    servedBy: ['media'],
    affinity: 'none',
    response: empty,
    handler,
  }),
])

export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: string
}

/** A worker: a real HTTP server that notes what reaches it. */
export class Worker {
  readonly seen: Seen[] = []
  readonly id: string
  readonly class: ServingClass
  readonly server: Server
  readonly sockets = new Set<Socket>()
  state: InstanceState = 'ready'
  epoch = 0
  port = 0
  #handle: (req: IncomingMessage, res: ServerResponse, seen: Seen) => void

  constructor(id: string, serving: ServingClass, handle?: (req: IncomingMessage, res: ServerResponse, seen: Seen) => void) {
    this.id = id
    this.class = serving
    this.#handle =
      handle ??
      ((_req, res) => {
        res.setHeader('content-type', 'application/json')
        res.end(JSON.stringify({ by: this.id }))
      })
    this.server = createServer({ keepAliveTimeout: 75_000 }, (req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      req.on('end', () => {
        const seen: Seen = {
          method: req.method ?? '',
          url: req.url ?? '',
          headers: req.headers,
          rawHeaders: req.rawHeaders,
          body: Buffer.concat(chunks).toString(),
        }
        this.seen.push(seen)
        this.#handle(req, res, seen)
      })
    })
    this.server.on('connection', (socket) => {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
    })
  }

  handle(handle: (req: IncomingMessage, res: ServerResponse, seen: Seen) => void): void {
    this.#handle = handle
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(port, '127.0.0.1', resolve))
    this.port = (this.server.address() as AddressInfo).port
    return this
  }

  /** As `kill -9` looks from outside: every connection is reset, and new ones are refused. */
  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve))
    for (const socket of this.sockets) socket.resetAndDestroy()
    await closed
  }

  instance(): Instance {
    return { instance: this.id, class: this.class, host: '127.0.0.1', port: this.port, state: this.state, epoch: this.epoch }
  }
}

/** Discovery under the test's control. */
export class ListedWorkers implements InstanceDirectory {
  listed: Worker[] = []
  readonly #listeners = new Set<() => void>()

  instances(): readonly Instance[] {
    return this.listed.map((worker) => worker.instance())
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  list(...workers: Worker[]): void {
    this.listed = workers
    for (const listener of this.#listeners) listener()
  }
}

export interface Counted {
  ended: { endpoint: string; servingClass: string; status: number }[]
  retried: string[]
  held: number
  answeredHere: number[]
}

/** Closes everything that a test opened. */
export class Bench {
  readonly directory = new ListedWorkers()
  readonly counted: Counted = { ended: [], retried: [], held: 0, answeredHere: [] }
  readonly #closers: (() => Promise<void>)[] = []
  readonly #agent = new Agent({ keepAlive: true })
  port = 0

  async worker(id: string, serving: ServingClass, handle?: ConstructorParameters<typeof Worker>[2]): Promise<Worker> {
    const worker = await new Worker(id, serving, handle).start()
    this.#closers.push(async () => {
      if (worker.server.listening) await worker.kill()
    })
    this.directory.list(...this.directory.listed, worker)
    return worker
  }

  async router(limits: Partial<RouterLimits> = {}, options: Partial<RouterOptions> = {}, edge = new Edge()): Promise<Router> {
    const { counted } = this
    const router = new Router({
      routes: new RegistryRoutes(registry),
      directory: this.directory,
      secret: 'internal-secret',
      limits: { ...defaultLimits, ...limits },
      clock: { monotonic: () => performance.now() },
      log: { debug() {}, info() {}, warn() {} },
      probe: httpProbe,
      observer: {
        ended: (exchange: Exchange, status) =>
          counted.ended.push({ endpoint: exchange.route.endpoint, servingClass: exchange.servingClass, status }),
        retried: (_exchange, reason) => counted.retried.push(reason),
        held: () => {
          counted.held++
        },
        upstream() {},
        upstreamFailed() {},
        answeredHere: (status) => counted.answeredHere.push(status),
      },
      ...options,
    })
    this.port = await router.listen(0, '127.0.0.1', edge)
    this.#closers.unshift(() => router.close())
    return router
  }

  /** Sends a request with the path exactly as given. */
  call(
    method: string,
    path: string,
    options: { headers?: RequestOptions['headers']; body?: string | Buffer; port?: number; agent?: Agent } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const body = options.body === undefined ? undefined : Buffer.from(options.body)
      const req = request(
        {
          host: '127.0.0.1',
          port: options.port ?? this.port,
          method,
          path,
          agent: options.agent ?? this.#agent,
          headers: { ...(body === undefined ? {} : { 'content-length': body.length }), ...options.headers },
        },
        (res) => {
          const chunks: Buffer[] = []
          res.on('data', (chunk: Buffer) => chunks.push(chunk))
          res.on('error', reject)
          res.on('end', () => resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }))
        },
      )
      req.on('error', reject)
      req.end(body)
    })
  }

  /** Writes bytes on a connection of its own and reads until it closes. */
  raw(bytes: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write(bytes, 'latin1'))
      let text = ''
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1')
      })
      socket.on('error', reject)
      socket.on('close', () => resolve(text))
    })
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    for (const close of this.#closers.splice(0)) await close()
  }
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export function json(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.body.toString())
}

/** Resolves when `condition` holds; it is looked at after every turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
