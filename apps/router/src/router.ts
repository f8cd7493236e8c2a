import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { Edge, isReadOrSmall, LINGER_MS } from '@weft/http'
import { Roster } from '@weft/kernel'
import { buildConnector } from 'undici'
import { affinityHash } from './affinity.ts'
import type { Attempt, AttemptListener } from './attempt.ts'
import { ConnectionPool } from './connection-pool.ts'
import { Exchange, type ExchangeDependencies, type ExchangeObserver } from './exchange.ts'
import { FrontDoor } from './front-door.ts'
import { upstreamHeaders } from './headers.ts'
import { Hold } from './hold.ts'
import type { InstanceDirectory } from './instance.ts'
import { InstanceBook, type KnownInstance, type MonotonicClock } from './instance-book.ts'
import { LostInstances, type Probe } from './lost-instances.ts'
import { answer, answerPreflight, answerUnread, type OwnAnswer } from './replies.ts'
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
  /** A request's head that has not arrived after this many ms is answered 408, and its connection closed (R32). */
  readonly headersMs: number
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
  headersMs: 15_000,
  bodyMs: 30_000,
  inFlight: 20_000,
}

export interface RouterLog {
  debug(fields: object, message: string): void
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
const replacedSweeps = 3
/** How long a draining router leaves idle connections open, in ms: the next request on one is served, and told to close. */
const idleGraceMs = 1_000
/** A draining router ends so many long polls, then pauses: 10,000 a second. */
const hurriedAtOnce = 100
const hurryPauseMs = 10

/**
 * The public edge: finds the class of a request by its path, an instance by its key, and passes both bodies on. It keeps
 * nothing that another router would need.
 */
export class Router {
  readonly #options: RouterOptions
  readonly #doors: FrontDoor[] = []
  readonly #hold: Hold<Exchange>
  readonly #book: InstanceBook
  readonly #lost: LostInstances
  readonly #pools = new Map<KnownInstance, { readonly origin: string; readonly pool: ConnectionPool }>()
  readonly #streamed = new StreamedRequests()
  readonly #connect = buildConnector({ timeout: 1_500, keepAlive: true })
  readonly #exchanges = new Roster<Exchange>()
  /** Requests whose small bodies are arriving, the oldest first. */
  readonly #receiving = new Map<ServerResponse, number>()
  readonly #exchangeDependencies: ExchangeDependencies
  readonly #requestIdPrefix = randomBytes(6).toString('base64url')
  readonly #sweepTimer: NodeJS.Timeout
  #requestNumber = 0
  #sweeps = 0
  readonly #replacedSince = new Map<KnownInstance, number>()
  #draining = false
  #idleMayClose = false

  constructor(options: RouterOptions) {
    this.#options = options
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
      open: this.#exchanges,
      clock: options.clock,
      holdMs: options.limits.holdMs,
      observer: {
        ended: (exchange, status) => this.#ended(exchange, status),
        retried: (exchange, reason) => options.observer.retried(exchange, reason),
        held: (exchange) => options.observer.held(exchange),
        upstream: (exchange, ms) => options.observer.upstream(exchange, ms),
        upstreamFailed: (exchange, instance, error, stage) => options.observer.upstreamFailed(exchange, instance, error, stage),
      },
      draining: () => this.#draining,
      attempt: (exchange, instance, listener) => this.#attempt(exchange, instance, listener),
    }
    this.#sweepTimer = setInterval(() => this.#sweep(), sweepMs)
    this.#sweepTimer.unref()
  }

  /**
   * Opens a public door; resolves with its port.
   * @param edge whom this door believes about clients' addresses
   * @param ipv6Only leaves IPv4 on the same port to another door
   */
  async listen(port: number, host: string, edge = new Edge(), ipv6Only = false): Promise<number> {
    const door = new FrontDoor(
      { request: (...all) => this.#request(...all), upgradeRefused: () => this.#options.observer.answeredHere(404) },
      edge,
      this.#options.limits.headersMs,
    )
    const listening = await door.listen(port, host, ipv6Only)
    this.#doors.push(door)
    return listening
  }

  /** Requests between their head and the end of their answer. */
  get inFlight(): number {
    return this.#exchanges.size + this.#receiving.size
  }

  /** Requests that wait for an instance, and the memory kept for them. */
  get holding(): { readonly requests: number; readonly bytes: number } {
    return { requests: this.#hold.size, bytes: this.#hold.bytes }
  }

  /** The workers that this router knows. */
  instances(): Iterable<KnownInstance> {
    return this.#book.all()
  }

  /**
   * Stops accepting, ends long polls early, and resolves once everything in flight has been answered. What is unanswered
   * after `deadlineMs` gets a 503, which clients repeat elsewhere.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true
    // What waits for a worker is better off at another router at once.
    this.#hold.expire(0, true)
    const closed = Promise.all(this.#doors.map((door) => door.stopAccepting()))
    const hurried = this.#hurry()
    const idle = setTimeout(() => {
      this.#idleMayClose = true
      this.#closeIdle()
    }, idleGraceMs)
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs)
    })
    await Promise.race([Promise.all([closed, hurried]), deadline])
    clearTimeout(timer)
    clearTimeout(idle)
    for (const exchange of this.#exchanges.all()) {
      if (!exchange.begun) exchange.answer({ status: 503, errcode: 'M_UNKNOWN', error: 'The server restarts', retryAfterSeconds: 1 })
    }
    await this.close()
  }

  /** Long polls get their answers, a few at a time: each is a new connection to a worker. */
  async #hurry(): Promise<void> {
    let started = 0
    for (const exchange of this.#exchanges.all()) {
      exchange.hurry()
      if (++started % hurriedAtOnce === 0) await new Promise((resolve) => setTimeout(resolve, hurryPauseMs))
    }
  }

  /** Ends everything at once. */
  async close(): Promise<void> {
    clearInterval(this.#sweepTimer)
    this.#draining = true
    this.#book.close()
    const closed = Promise.all(this.#doors.map((door) => door.stopAccepting()))
    // Answers written just now reach the kernel's buffers before their sockets close.
    await turn()
    for (const door of this.#doors) door.closeAll()
    await closed
    for (const { pool } of this.#pools.values()) pool.close()
    this.#streamed.close()
  }

  #request(req: IncomingMessage, res: ServerResponse, edge: Edge): void {
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
    if (route.maxBodyBytes !== undefined && length > route.maxBodyBytes) {
      // Not left to the worker: it would close its connection under a router that still sends, and its answer be lost.
      const error = `The body is larger than ${route.maxBodyBytes} bytes`
      this.#answerHere(req, res, { status: 413, errcode: 'M_TOO_LARGE', error })
    } else if (!chunked && length === 0) {
      this.#send(req, res, edge, route, params, null)
    } else if (!chunked && !route.streams && length <= limits.smallBodyBytes) {
      this.#receive(req, res, length, (body) => this.#send(req, res, edge, route, params, body))
    } else if (chunked && method !== 'PUT' && method !== 'POST') {
      // http-proxy drops Transfer-Encoding of a DELETE and sends its body after `Content-Length: 0`, where a worker would
      // read it as a request of its own: bodies with these methods are small, and go on from memory.
      this.#receive(req, res, limits.smallBodyBytes, (body) => this.#send(req, res, edge, route, params, body))
    } else this.#send(req, res, edge, route, params, undefined)
  }

  #answerHere(req: IncomingMessage, res: ServerResponse, reply: OwnAnswer): void {
    if (isReadOrSmall(req)) {
      answer(res, reply, this.#draining)
      req.resume()
    } else answerUnread(req, res, reply, Math.min(LINGER_MS, this.#options.limits.bodyMs))
    this.#options.observer.answeredHere(reply.status)
  }

  /** Takes a body of at most `limit` bytes into memory. */
  #receive(req: IncomingMessage, res: ServerResponse, limit: number, done: (body: Buffer) => void): void {
    let chunks: Buffer[] | undefined = []
    let size = 0
    this.#receiving.set(res, this.#options.clock.monotonic())
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
    edge: Edge,
    route: Route,
    params: Readonly<Record<string, string>>,
    body: Buffer | null | undefined,
  ): void {
    const clientAddress = edge.clientAddress(req, false)
    const requestId = `${this.#requestIdPrefix}-${(this.#requestNumber++).toString(36)}`
    const headers = upstreamHeaders(req.rawHeaders, req.headers.connection, { secret: this.#options.secret, clientAddress, requestId })
    const keyHash = affinityHash(route.affinity, params, req.headers.authorization, req.url ?? '/', clientAddress)
    new Exchange(req, res, route, keyHash, headers, body, requestId, this.#exchangeDependencies).start()
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
    this.#options.observer.ended(exchange, status)
    // A connection whose answer began before the drain said nothing of closing.
    if (this.#idleMayClose) setImmediate(() => this.#closeIdle())
  }

  #closeIdle(): void {
    for (const door of this.#doors) door.closeIdle()
  }

  #removed(instance: KnownInstance, reason: Error | undefined): void {
    this.#pools.get(instance)?.pool.close()
    this.#pools.delete(instance)
    this.#replacedSince.delete(instance)
    if (reason === undefined) return
    this.#options.log.warn({ instance: instance.id, running: instance.running.size, reason: reason.message }, 'an instance was given up')
    for (const attempt of instance.running.all()) attempt.abandon(reason)
  }

  #sweep(): void {
    this.#sweeps++
    const now = this.#options.clock.monotonic()
    if (this.#hold.size > 0) {
      this.#hold.release()
      this.#hold.expire(now)
      if (this.#sweeps % standbyCheckEvery === 0 && this.#hold.size > 0) this.#askStandby()
    }
    for (const [res, since] of this.#receiving) {
      if (now - since <= this.#options.limits.bodyMs) break
      this.#receiving.delete(res)
      // Closed, since the rest of the body could take as long again.
      answer(res, { status: 408, errcode: 'M_UNKNOWN', error: 'The request body took too long to arrive' }, true)
      this.#options.observer.answeredHere(408)
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
