import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { Metrics } from '@weft/kernel'
import express from 'express'
import { z } from 'zod'
import {
  type AnyEndpoint,
  type Authenticator,
  endpointFactory,
  HttpServer,
  httpMetrics,
  InFlight,
  type Mounted,
  type MountOptions,
  mountEndpoints,
  Registry,
  type Reply,
  type Requester,
  Traffic,
} from '../src/index.ts'

export interface TestServices {
  readonly writer: { readonly name: string }
  readonly sync: { readonly name: string }
}
export const defineEndpoint = endpointFactory<TestServices>()

export const ALICE: Requester = {
  userId: '@alice:hs',
  deviceId: 'DEV',
  accessTokenId: 1,
  isAdmin: false,
  isGuest: false,
  locked: false,
  suspended: false,
  shadowBanned: false,
}

/** Knows `wft_alice_1`, and `wft_locked_1` of a locked account. */
export class KnownTokens implements Authenticator {
  readonly asked: string[] = []

  async authenticate(token: string): Promise<Requester | undefined> {
    this.asked.push(token)
    if (token === 'wft_alice_1') return ALICE
    if (token === 'wft_locked_1') return { ...ALICE, userId: '@locked:hs', locked: true }
    return undefined
  }
}

/** A handler in a test types what it looks at by itself. */
type Overrides = Partial<Omit<AnyEndpoint, 'handler'>> & { readonly handler?: (args: never) => Promise<Reply> }

/** An endpoint that answers what it was given. */
export function echo(overrides: Overrides = {}): AnyEndpoint {
  return {
    id: 'client.echo',
    method: 'GET',
    path: '/_matrix/client/v3/echo',
    auth: 'none',
    servedBy: ['writer'],
    affinity: 'none',
    response: z.unknown(),
    async handler(args: {
      ctx: unknown
      params: unknown
      query: unknown
      requester: unknown
      body: unknown
      request: { ip: string; requestId: string }
    }) {
      const { ctx, params, query, requester, body, request } = args
      return { json: { ctx, params, query, requester, body, ip: request.ip, requestId: request.requestId } }
    },
    ...overrides,
  } as AnyEndpoint
}

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever came
  readonly json: any
}

/** An endpoint whose requests wait until they are released: `arrived` resolves when the first of them has come. */
export function held(overrides: Overrides = {}): { endpoint: AnyEndpoint; arrived: Promise<void>; release(reply: Reply): void } {
  const arrived = Promise.withResolvers<void>()
  const reply = Promise.withResolvers<Reply>()
  const handler = () => {
    arrived.resolve()
    return reply.promise
  }
  return { endpoint: echo({ ...overrides, handler }), arrived: arrived.promise, release: reply.resolve }
}

export interface TestServer extends AsyncDisposable {
  readonly port: number
  readonly server: HttpServer
  readonly mounted: Mounted
  readonly inFlight: InFlight
  readonly drain: AbortController
  readonly lines: { level: string; fields: Record<string, unknown>; message: string }[]
  readonly metrics: Metrics
  readonly tokens: KnownTokens
  /** Waits until `count` access lines are written: a line is written after its answer is out. */
  accessLines(count: number): Promise<Record<string, unknown>[]>
  send(method: string, path: string, options?: SendOptions): Promise<Answer>
  raw(text: string): Promise<string>
}

export interface SendOptions {
  readonly headers?: http.OutgoingHttpHeaders
  readonly token?: string
  readonly body?: string | Uint8Array | object
}

export async function startServer(
  endpoints: readonly AnyEndpoint[],
  options: Partial<MountOptions> & { inFlight?: InFlight; unreadAtMost?: number } = {},
): Promise<TestServer> {
  const inFlight = options.inFlight ?? new InFlight(1000)
  const drain = new AbortController()
  const lines: TestServer['lines'] = []
  const metrics = new Metrics()
  const waiting: (() => void)[] = []
  const write = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message })
    for (const wake of waiting.splice(0)) wake()
  }
  const log = { info: write('info'), warn: write('warn'), error: write('error') }
  const tokens = new KnownTokens()
  const app = express().disable('x-powered-by').disable('etag')
  const mounted = mountEndpoints(app, {
    registry: new Registry(endpoints),
    services: { writer: { name: 'writer' } },
    authenticator: tokens,
    rateLimiter: { check: async () => {} },
    log,
    clock: { monotonic: () => performance.now() },
    traffic: new Traffic({
      inFlight,
      metrics: metrics.use(httpMetrics),
      draining: drain.signal,
      ...(options.unreadAtMost !== undefined && { unreadAtMost: options.unreadAtMost }),
    }),
    ...options,
  })
  const server = new HttpServer({ listener: app, inFlight, log })
  const { port } = await server.listen(0)
  const agent = new http.Agent({ keepAlive: true })
  return {
    port,
    server,
    mounted,
    inFlight,
    drain,
    lines,
    metrics,
    tokens,
    async accessLines(count) {
      for (;;) {
        const found = lines.filter((line) => line.message === 'request')
        if (found.length >= count) return found.map((line) => line.fields)
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
    },
    send: (method, path, sendOptions) => send(port, agent, method, path, sendOptions),
    raw: (text) => sendRaw(port, text),
    async [Symbol.asyncDispose]() {
      drain.abort()
      agent.destroy()
      await server.stop(200)
    },
  }
}

async function send(port: number, agent: http.Agent, method: string, path: string, options: SendOptions = {}): Promise<Answer> {
  const { body } = options
  const bytes =
    body === undefined
      ? undefined
      : typeof body === 'string'
        ? Buffer.from(body)
        : body instanceof Uint8Array
          ? body
          : Buffer.from(JSON.stringify(body))
  const headers: http.OutgoingHttpHeaders = { ...options.headers }
  if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`
  if (bytes !== undefined && headers['transfer-encoding'] === undefined) headers['content-length'] ??= bytes.length
  const request = http.request({ port, agent, method, path, headers })
  request.end(bytes)
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  const isJson = response.headers['content-type'] === 'application/json' && text !== ''
  return { status: response.statusCode as number, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
}

/** Writes `text` to a connection of its own and reads until the server closes it. */
export async function sendRaw(port: number, text: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(text, 'latin1')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
