import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Edge } from '@weft/http'
import { buildConnector } from 'undici'
import { affinityHash } from './affinity.ts'
import type { Attempt, AttemptListener } from './attempt.ts'
import { ConnectionPool } from './connection-pool.ts'
import { Exchange, type ExchangeDependencies, type ExchangeObserver } from './exchange.ts'
import { upstreamHeaders } from './headers.ts'
import { Hold } from './hold.ts'
import type { InstanceDirectory } from './instance.ts'
import { InstanceBook, type KnownInstance, type MonotonicClock } from './instance-book.ts'
import { LostInstances, type Probe } from './lost-instances.ts'
import { answer, answerPreflight, type OwnAnswer, parserRefusal, rawAnswer } from './replies.ts'
import type { Route, RouteMatch, RouteTable } from './route.ts'
import { SmallAttempt } from './small-attempt.ts'
import { StreamedRequests } from './streamed-attempt.ts'

export interface RouterLimits {
  /** How long a request waits for an instance of its class, in ms. */
  readonly holdMs: number
  readonly heldRequests: number
  readonly heldBytes: number
  /** Bodies up to this size with a known length are kept in memory, so that they can be sent again. */
  readonly smallBodyBytes: number
  /** A small body that has not arrived after this many ms is answered 408. */
  readonly bodyMs: number
  /** Requests at once; each holds a connection to a worker. */
  readonly inFlight: number
}

export const defaultLimits: RouterLimits = {
  holdMs: 10_000,
  heldRequests: 2_000,
  heldBytes: 32 * 1024 * 1024,
  smallBodyBytes: 96 * 1024,
  bodyMs: 30_000,
  inFlight: 20_000,
}

export interface RouterLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface RouterObserver extends ExchangeObserver {
  /** A request that no worker saw: not found, wrong method, preflight, too slow, too many. */
  answeredHere(status: number): void
}

export interface RouterOptions {
  readonly routes: RouteTable
  readonly directory: InstanceDirectory
  readonly secret: string
  readonly trustedProxies: readonly string[]
  readonly limits: RouterLimits
  readonly clock: MonotonicClock
  readonly log: RouterLog
  readonly observer: RouterObserver
  readonly probe: Probe
}

/** Between two looks at held requests, slow bodies and lost instances, in ms. */
const sweepMs = 100
const lostCheckEvery = 10
const standbyCheckEvery = 5
/** A replaced writer may finish writing what it has committed for this long; then its requests end. */
const replacedSweeps = 10

/**
 * The public edge: finds the class of a request by its path, an instance by its key, and passes both bodies on. It keeps
 * nothing that another router would need.
 */
export class Router {
  readonly server: Server
  readonly #options: RouterOptions
  readonly #edge: Edge
  readonly #hold: Hold<Exchange>
  readonly #book: InstanceBook
  readonly #lost: LostInstances
  readonly #pools = new Map<KnownInstance, { readonly origin: string; readonly pool: ConnectionPool }>()
  readonly #streamed = new StreamedRequests()
  readonly #connect = buildConnector({ timeout: 1_500, keepAlive: true })
  readonly #exchanges = new Set<Exchange>()
  /** Requests whose small bodies are arriving, the oldest first. */
  readonly #receiving = new Map<ServerResponse, { readonly req: IncomingMessage; readonly since: number }>()
  readonly #exchangeDependencies: ExchangeDependencies
  readonly #requestIdPrefix = randomBytes(6).toString('base64url')
  readonly #sweepTimer: NodeJS.Timeout
  #requestNumber = 0
  #sweeps = 0
  readonly #replacedSince = new Map<KnownInstance, number>()
  #draining = false

  constructor(options: RouterOptions) {
    this.#options = options
    this.#edge = new Edge({ xForwarded: options.trustedProxies.length > 0, trustedProxies: options.trustedProxies })
    this.#hold = new Hold<Exchange>({ maxRequests: options.limits.heldRequests, maxBytes: options.limits.heldBytes })
    this.#book = new InstanceBook(options.directory, options.clock, {
      available: () => this.#hold.release(),
      lost: (instance) => options.log.warn({ instance: instance.id }, 'discovery has lost an instance; it is kept while it answers'),
      removed: (instance, reason) => this.#removed(instance, reason),
    })
    this.#lost = new LostInstances(options.probe, (instance, reason) => this.#book.giveUp(instance, reason))
    this.#exchangeDependencies = {
      book: this.#book,
      hold: this.#hold,
      clock: options.clock,
      holdMs: options.limits.holdMs,
      observer: {
        ended: (exchange, status) => this.#ended(exchange, status),
        retried: (exchange, reason) => options.observer.retried(exchange, reason),
        held: (exchange) => options.observer.held(exchange),
        notHeld: (exchange) => options.observer.notHeld(exchange),
        upstream: (exchange, ms) => options.observer.upstream(exchange, ms),
        upstreamFailed: (exchange, instance, error, stage) => options.observer.upstreamFailed(exchange, instance, error, stage),
      },
      draining: () => this.#draining,
      attempt: (exchange, instance, listener) => this.#attempt(exchange, instance, listener),
    }
    // Uploads of many minutes are allowed; a small body has its own limit, and a connection without traffic ends.
    this.server = createServer({ requestTimeout: 3_600_000, headersTimeout: 15_000, keepAliveTimeout: 65_000, noDelay: true })
    this.server.timeout = 300_000
    this.server.on('request', (req, res) => this.#request(req, res))
    this.server.on('upgrade', (_req, socket) => {
      socket.on('error', () => socket.destroy())
      socket.end(rawAnswer('404 Not Found', 'M_UNRECOGNIZED', 'Unrecognized request'))
      options.observer.answeredHere(404)
    })
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
      else socket.end(parserRefusal(error.code))
    })
    this.#sweepTimer = setInterval(() => this.#sweep(), sweepMs)
    this.#sweepTimer.unref()
  }

  /** Listens; resolves with the port once connections are accepted. */
  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(port, host, () => {
        this.server.off('error', reject)
        resolve((this.server.address() as AddressInfo).port)
      })
    })
  }

  /** Requests between their head and the end of their answer. */
  get inFlight(): number {
    return this.#exchanges.size + this.#receiving.size
  }

  get heldRequests(): number {
    return this.#hold.size
  }

  /** True when there is a worker to send to: what /ready of a router says. */
  get knowsWorkers(): boolean {
    return this.#book.candidates('writer').length > 0 || this.#book.candidates('sync').length > 0
  }

  /**
   * Stops accepting, and resolves once everything in flight has been answered. A long poll cannot be cut short here: only
   * a sync process knows the token of an early answer. So it runs to its own end, at most the client's 30 s; what is
   * unanswered after `deadlineMs` gets a 503, which clients repeat elsewhere.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true
    // What waits for a worker is better off at another router at once.
    this.#hold.expire(0, true)
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    this.server.closeIdleConnections()
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs)
    })
    await Promise.race([closed, deadline])
    clearTimeout(timer)
    for (const exchange of [...this.#exchanges]) {
      if (!exchange.begun) exchange.answer({ status: 503, errcode: 'M_UNKNOWN', error: 'The server restarts', retryAfterSeconds: 1 })
    }
    await this.close()
  }

  /** Ends everything at once. */
  async close(): Promise<void> {
    clearInterval(this.#sweepTimer)
    this.#draining = true
    this.#book.close()
    const closed = new Promise<void>((resolve) => (this.server.listening ? this.server.close(() => resolve()) : resolve()))
    // Answers written just now reach the kernel's buffers before their sockets close.
    await new Promise((resolve) => setImmediate(resolve))
    this.server.closeAllConnections()
    await closed
    for (const { pool } of this.#pools.values()) pool.close()
    this.#streamed.close()
  }

  #request(req: IncomingMessage, res: ServerResponse): void {
    const { limits } = this.#options
    const method = req.method ?? 'GET'
    const url = req.url ?? '/'
    if (method === 'OPTIONS') {
      answerPreflight(res, this.#draining)
      req.resume()
      this.#options.observer.answeredHere(204)
      return
    }
    const queryAt = url.indexOf('?')
    const match = this.#options.routes.match(method, queryAt < 0 ? url : url.slice(0, queryAt))
    if (match.kind !== 'route') {
      this.#answerHere(req, res, refusalOf(match))
      return
    }
    if (this.inFlight >= limits.inFlight) {
      this.#answerHere(req, res, { status: 503, errcode: 'M_UNKNOWN', error: 'The server is overloaded', retryAfterSeconds: 2 })
      return
    }
    const { route, params } = match
    const chunked = req.headers['transfer-encoding'] !== undefined
    const length = Number(req.headers['content-length'] ?? 0)
    if (!chunked && length === 0) {
      this.#send(req, res, route, params, null)
    } else if (!chunked && !route.streams && length <= limits.smallBodyBytes) {
      this.#receive(req, res, length, (body) => this.#send(req, res, route, params, body))
    } else if (chunked && method !== 'PUT' && method !== 'POST') {
      // http-proxy drops Transfer-Encoding of a DELETE and sends its body after `Content-Length: 0`, where a worker would
      // read it as a request of its own: bodies with these methods are small, and go on from memory.
      this.#receive(req, res, limits.smallBodyBytes, (body) => this.#send(req, res, route, params, body))
    } else this.#send(req, res, route, params, undefined)
  }

  #answerHere(req: IncomingMessage, res: ServerResponse, reply: OwnAnswer): void {
    answer(res, reply, this.#draining)
    req.resume()
    this.#options.observer.answeredHere(reply.status)
  }

  /** Takes a body of at most `limit` bytes into memory. */
  #receive(req: IncomingMessage, res: ServerResponse, limit: number, done: (body: Buffer) => void): void {
    let chunks: Buffer[] | undefined = []
    let size = 0
    this.#receiving.set(res, { req, since: this.#options.clock.monotonic() })
    const over = (): boolean => this.#receiving.delete(res)
    res.once('close', over)
    req.on('data', (chunk: Buffer) => {
      if (chunks === undefined) return
      size += chunk.length
      if (size > limit) {
        chunks = undefined
        over()
        this.#answerHere(req, res, { status: 413, errcode: 'M_TOO_LARGE', error: 'The request body is too large' })
      } else chunks.push(chunk)
    })
    req.on('end', () => {
      // False when the client left, or was answered for being too slow.
      if (!over() || chunks === undefined) return
      done(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
    })
  }

  #send(
    req: IncomingMessage,
    res: ServerResponse,
    route: Route,
    params: Readonly<Record<string, string>>,
    body: Buffer | null | undefined,
  ): void {
    const clientAddress = this.#edge.clientAddress(req, false)
    const requestId = `${this.#requestIdPrefix}-${(this.#requestNumber++).toString(36)}`
    const headers = upstreamHeaders(req.rawHeaders, req.headers.connection, { secret: this.#options.secret, clientAddress, requestId })
    const keyHash = affinityHash(route.affinity, params, req.headers.authorization, req.url ?? '/', clientAddress)
    const exchange = new Exchange(req, res, route, keyHash, headers, body, requestId, this.#exchangeDependencies)
    this.#exchanges.add(exchange)
    exchange.start()
  }

  #attempt(exchange: Exchange, instance: KnownInstance, listener: AttemptListener): Attempt {
    const { req, res, headers, body } = exchange
    if (body === undefined || exchange.route.streams) return this.#streamed.send(instance, req, res, headers, listener)
    return new SmallAttempt(this.#pool(instance), res, { method: req.method ?? 'GET', url: req.url ?? '/', headers, body }, listener)
  }

  #pool(instance: KnownInstance): ConnectionPool {
    const origin = `http://${instance.host.includes(':') ? `[${instance.host}]` : instance.host}:${instance.port}`
    const entry = this.#pools.get(instance)
    if (entry?.origin === origin) return entry.pool
    entry?.pool.close()
    const pool = new ConnectionPool(origin, this.#connect)
    this.#pools.set(instance, { origin, pool })
    return pool
  }

  #ended(exchange: Exchange, status: number): void {
    this.#exchanges.delete(exchange)
    this.#options.observer.ended(exchange, status)
    // A connection whose answer began before the drain said nothing of closing.
    if (this.#draining) setImmediate(() => this.server.closeIdleConnections())
  }

  #removed(instance: KnownInstance, reason: Error | undefined): void {
    this.#pools.get(instance)?.pool.close()
    this.#pools.delete(instance)
    this.#replacedSince.delete(instance)
    if (reason === undefined) return
    this.#options.log.warn({ instance: instance.id, running: instance.running.size, reason: reason.message }, 'an instance was given up')
    for (const attempt of [...instance.running]) attempt.abandon(reason)
  }

  #sweep(): void {
    this.#sweeps++
    const now = this.#options.clock.monotonic()
    if (this.#hold.size > 0) {
      this.#hold.release()
      this.#hold.expire(now)
      if (this.#sweeps % standbyCheckEvery === 0 && this.#hold.size > 0) this.#askStandby()
    }
    for (const [res, { req, since }] of this.#receiving) {
      if (now - since <= this.#options.limits.bodyMs) break
      this.#receiving.delete(res)
      this.#answerHere(req, res, { status: 408, errcode: 'M_UNKNOWN', error: 'The request body took too long to arrive' })
    }
    if (this.#sweeps % lostCheckEvery === 0) this.#lost.check(this.#book.all())
    for (const instance of this.#book.replacedWriters()) {
      const since = this.#replacedSince.get(instance) ?? this.#sweeps
      this.#replacedSince.set(instance, since)
      if (this.#sweeps - since >= replacedSweeps) this.#book.giveUp(instance, new Error(`${instance.id} is no longer the writer`))
    }
  }

  /** Discovery may be gone while a standby has taken over: one held request finds out. */
  #askStandby(): void {
    const request = this.#hold.first((held) => held.route.servedBy.includes('writer'))
    const standby = request === undefined ? undefined : this.#book.pickStandby()
    if (request === undefined || standby === undefined) return
    this.#hold.remove(request)
    request.sendTo(standby)
  }
}

function refusalOf(match: Exclude<RouteMatch, { kind: 'route' }>): OwnAnswer {
  switch (match.kind) {
    case 'badParameter':
      return { status: 400, errcode: 'M_INVALID_PARAM', error: match.reason }
    case 'wrongMethod':
      return { status: 405, errcode: 'M_UNRECOGNIZED', error: 'Method not allowed', allow: match.allow }
    case 'unknownPath':
      return { status: 404, errcode: 'M_UNRECOGNIZED', error: 'Unrecognized request' }
  }
}
