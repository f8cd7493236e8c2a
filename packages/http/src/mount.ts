import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { MatrixError } from '@weft/matrix'
import type { Express } from 'express'
import { type Authenticator, accessTokenOf, authenticateRequest, type Requester } from './auth.ts'
import { BodyBudget, BodyBudgetExceeded, ClientGone, readJsonBody } from './body.ts'
import { preflightHeaders } from './cors.ts'
import { Edge, type EdgeSettings, internalHeaders } from './edge.ts'
import { type AnyEndpoint, DEFAULT_MAX_BODY_BYTES, type Method, type RawBody, type Reply, type ServingClass } from './endpoint.ts'
import { type ErrorReply, overloaded, replyToError, type UnavailableTest } from './errors.ts'
import { InFlight } from './in-flight.ts'
import type { PathMatch } from './matcher.ts'
import { type AccessLine, type HttpLog, type HttpMetrics, loggablePath, loggableUserAgent, NO_ENDPOINT } from './observe.ts'
import type { RateLimiter } from './rate-limit.ts'
import { isRawBody, type Registry } from './registry.ts'
import { EndpointRequest } from './request.ts'
import { sendError, sendErrorUnread, sendReply } from './respond.ts'
import { queryReader, validateBody } from './validate.ts'

export interface MountOptions {
  readonly registry: Registry
  /** What handlers get as `ctx`, by class. Its keys are the classes that this process is: one, or all of them in layout `single`. */
  readonly services: Readonly<Partial<Record<ServingClass, unknown>>>
  readonly authenticator: Authenticator
  readonly rateLimiter: RateLimiter
  readonly log: HttpLog
  readonly metrics: HttpMetrics
  /** Milliseconds that only go forward. */
  readonly clock: { monotonic(): number }
  /** Aborted when this process starts to drain. */
  readonly draining: AbortSignal
  /** Whom to believe about clients' addresses. */
  readonly edge?: EdgeSettings
  /** Names the errors that mean 503 with Retry-After: PostgreSQL cannot be reached, the queue is full. */
  readonly isUnavailable?: UnavailableTest
  /** Shared with {@link HttpServer}, which waits for it when it stops. */
  readonly inFlight?: InFlight
  /** Told about every authenticated request: where devices are seen. */
  readonly onAuthenticated?: (requester: Requester, from: { readonly ip: string; readonly userAgent: string }) => void
  /** Bytes of request bodies held at once. Default 64 MiB. */
  readonly maxBodyBytesHeld?: number
}

/** Long polls of a sync process count too. */
const DEFAULT_MAX_IN_FLIGHT = 20_000
const DEFAULT_BODY_BYTES_HELD = 64 * 1024 * 1024

/** Answers every request of an Express application from the registry. Nothing mounted after it is ever reached. */
export function mountEndpoints(app: Express, options: MountOptions): void {
  const listener = endpointListener(options)
  app.use((request, response) => listener(request, response))
}

/** The same without Express: a listener for `node:http`. */
export function endpointListener(options: MountOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const mount = new Mount(options)
  return (request, response) => {
    // answer() never rejects: whatever a handler throws becomes a reply or, if that fails too, a log line.
    void mount.answer(request, response)
  }
}

interface Route {
  readonly endpoint: AnyEndpoint
  readonly ctx: unknown
  readonly readQuery: ((query: string) => unknown) | undefined
}

const NO_QUERY = Object.freeze({})

class Mount {
  readonly #options: MountOptions
  readonly #routes = new Map<AnyEndpoint, Route>()
  readonly #edge: Edge
  readonly #inFlight: InFlight
  readonly #bodies: BodyBudget
  readonly #isUnavailable: UnavailableTest
  readonly #idPrefix = randomBytes(6).toString('base64url')
  #idCounter = 0

  constructor(options: MountOptions) {
    this.#options = options
    this.#edge = new Edge(options.edge)
    this.#inFlight = options.inFlight ?? new InFlight(DEFAULT_MAX_IN_FLIGHT)
    this.#bodies = new BodyBudget(options.maxBodyBytesHeld ?? DEFAULT_BODY_BYTES_HELD)
    this.#isUnavailable = options.isUnavailable ?? (() => false)
    options.metrics.inFlight.sample(() => this.#inFlight.count)
    for (const endpoint of options.registry.endpoints) {
      const served = (endpoint.servedBy as ServingClass[]).find((name) => options.services[name] !== undefined)
      if (served === undefined) continue
      const readQuery = endpoint.query === undefined ? undefined : queryReader(endpoint.query)
      this.#routes.set(endpoint, { endpoint, ctx: options.services[served], readQuery })
    }
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = new Exchange(this.#options, this.#edge, request, response, () => this.#newRequestId())
    if (exchange.method === 'OPTIONS') return exchange.preflight()
    if (!this.#inFlight.enter()) {
      this.#options.metrics.shed.inc()
      return exchange.fail(overloaded('The server is busy'))
    }
    response.once('close', () => this.#inFlight.leave())
    try {
      const match = this.#options.registry.matcher.match(exchange.method, exchange.path)
      const route = match.kind === 'found' ? this.#routes.get(match.endpoint) : undefined
      if (match.kind !== 'found' || route === undefined) throw refusalOf(match)
      exchange.endpoint = route.endpoint
      await exchange.reply(await this.#run(route, match.params, exchange))
    } catch (error) {
      exchange.failWith(error, this.#isUnavailable)
    }
  }

  async #run(route: Route, params: Readonly<Record<string, string>>, exchange: Exchange): Promise<Reply> {
    const { endpoint } = route
    const { authenticator, rateLimiter, draining } = this.#options
    let requester: Requester | undefined
    if (endpoint.auth !== 'none') {
      const token = accessTokenOf(exchange.request.headers.authorization, exchange.query)
      const required = endpoint.auth === 'accessToken'
      requester = await authenticateRequest(authenticator, token, { required, lockedAllowed: endpoint.lockedAllowed === true })
      exchange.user = requester?.userId
      if (requester !== undefined) this.#options.onAuthenticated?.(requester, exchange)
    }
    if (endpoint.rateLimit !== undefined) await rateLimiter.check(endpoint.rateLimit, { ip: exchange.ip, requester })
    const query = route.readQuery === undefined ? NO_QUERY : route.readQuery(exchange.query)
    const body = endpoint.body === undefined ? undefined : await this.#readBody(endpoint, exchange.request)
    const info = new EndpointRequest({
      requestId: exchange.requestId,
      ip: exchange.ip,
      userAgent: exchange.userAgent,
      path: exchange.path,
      method: endpoint.method as Method,
      draining,
      raw: exchange.request,
    })
    exchange.begin(info)
    return await endpoint.handler({ ctx: route.ctx, params, query, requester, body, request: info })
  }

  async #readBody(endpoint: AnyEndpoint, request: IncomingMessage): Promise<unknown> {
    const read = await readJsonBody(request, endpoint.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES, this.#bodies)
    if (read === undefined && endpoint.bodyOptional !== true) throw new MatrixError('M_NOT_JSON', 'The body is empty')
    const body: RawBody = read ?? { text: '{}', value: {} }
    return isRawBody(endpoint.body) ? body : validateBody(endpoint.body, body)
  }

  #newRequestId(): string {
    return `${this.#idPrefix}-${(this.#idCounter++).toString(36)}`
  }
}

/** Why no endpoint answers. A path of a class that is not mounted here looks unknown: the router never sends one. */
function refusalOf(match: PathMatch): MatrixError {
  switch (match.kind) {
    case 'badParameter':
      return new MatrixError('M_INVALID_PARAM', `Path parameter ${match.parameter} ${match.reason}`)
    case 'wrongMethod':
      return new MatrixError('M_UNRECOGNIZED', 'Method not allowed', {
        status: 405,
        headers: { allow: [...match.allow, 'OPTIONS'].join(', ') },
      })
    default:
      return new MatrixError('M_UNRECOGNIZED', 'Unrecognized request')
  }
}

/** One request and its answer: what is known of it, what was sent, and the one line that is logged about it. */
class Exchange {
  readonly request: IncomingMessage
  readonly method: string
  readonly path: string
  /** What follows the question mark. */
  readonly query: string
  readonly requestId: string
  readonly ip: string
  readonly userAgent: string
  endpoint: AnyEndpoint | undefined
  user: string | undefined
  readonly #options: MountOptions
  readonly #response: ServerResponse
  readonly #started: number
  #info: EndpointRequest | undefined
  #bytes = 0

  constructor(options: MountOptions, edge: Edge, request: IncomingMessage, response: ServerResponse, newRequestId: () => string) {
    this.#options = options
    this.request = request
    this.#response = response
    this.#started = options.clock.monotonic()
    this.method = request.method ?? ''
    const url = request.url ?? ''
    const mark = url.indexOf('?')
    this.path = mark === -1 ? url : url.slice(0, mark)
    this.query = mark === -1 ? '' : url.slice(mark + 1)
    const internal = edge.isInternal(request)
    const given = internal ? request.headers[internalHeaders.requestId] : undefined
    this.requestId = typeof given === 'string' && given !== '' ? given : newRequestId()
    this.ip = edge.clientAddress(request, internal)
    this.userAgent = request.headers['user-agent'] ?? ''
    response.once('close', () => this.#closed())
  }

  begin(info: EndpointRequest): void {
    this.#info = info
    if (this.#response.destroyed) info.finish(false)
  }

  preflight(): void {
    this.#response.writeHead(204, preflightHeaders).end()
  }

  async reply(reply: Reply): Promise<void> {
    if (this.#response.destroyed) return discard(reply)
    this.#bytes = (await sendReply(this.#response, reply, this.#envelope())) ?? 0
  }

  fail(reply: ErrorReply): void {
    // A body that was not read to its end stands between this answer and the next request on the connection.
    const send = this.request.complete || !hasBody(this.request) ? sendError : sendErrorUnread.bind(undefined, this.request)
    this.#bytes = send(this.#response, reply, this.#envelope())
  }

  failWith(error: unknown, isUnavailable: UnavailableTest): void {
    if (error instanceof ClientGone || this.#response.destroyed) return
    const { reply, bug } =
      error instanceof BodyBudgetExceeded ? { reply: overloaded('The server is busy'), bug: false } : replyToError(error, isUnavailable)
    if (bug) this.#logBug(error)
    if (this.#response.headersSent) {
      // Half an answer is out already: only a broken connection tells the client that the rest is missing.
      this.#response.destroy()
      return
    }
    this.fail(reply)
  }

  #logBug(error: unknown): void {
    const endpoint = this.endpoint?.id ?? NO_ENDPOINT
    this.#options.log.error({ requestId: this.requestId, endpoint, user: this.user, err: error }, 'request failed: this is a bug')
  }

  #envelope(): { requestId: string; close: boolean } {
    return { requestId: this.requestId, close: this.#options.draining.aborted }
  }

  #closed(): void {
    const answered = this.#response.writableFinished
    this.#info?.finish(answered)
    const ms = this.#options.clock.monotonic() - this.#started
    const endpoint = this.endpoint?.id ?? NO_ENDPOINT
    // nginx's number for "client closed request": no status went out, or not all of the answer.
    const status = answered ? this.#response.statusCode : 499
    this.#options.metrics.requests.inc({ endpoint, status })
    this.#options.metrics.duration.observe({ endpoint }, ms / 1000)
    const line: AccessLine = {
      requestId: this.requestId,
      method: this.method,
      endpoint,
      path: loggablePath(this.path),
      status,
      ms: Math.round(ms * 100) / 100,
      bytes: this.#bytes,
      user: this.user,
      ip: this.ip,
      userAgent: loggableUserAgent(this.userAgent),
    }
    this.#options.log.info(line, 'request')
  }
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length']
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

/** A stream that nobody reads would keep its source open. */
function discard(reply: Reply): void {
  if ('stream' in reply) reply.stream.destroy()
}
