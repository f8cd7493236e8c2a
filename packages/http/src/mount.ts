import type { IncomingMessage, ServerResponse } from 'node:http'
import { Roster } from '@weft/kernel'
import { MatrixError } from '@weft/matrix'
import type { Express } from 'express'
import { type Authenticator, accessTokenOf, authenticateRequest, type Requester } from './auth.ts'
import { BodyBudget, readJsonBody } from './body.ts'
import { Edge, type EdgeSettings } from './edge.ts'
import { type AnyEndpoint, DEFAULT_MAX_BODY_BYTES, type Method, type RawBody, type Reply, type ServingClass } from './endpoint.ts'
import { overloaded, type UnavailableTest } from './errors.ts'
import { Exchange, RequestIds } from './exchange.ts'
import type { PathMatch } from './matcher.ts'
import type { HttpLog } from './observe.ts'
import type { RateLimiter } from './rate-limit.ts'
import { isRawBody, type Registry } from './registry.ts'
import { EndpointRequest } from './request.ts'
import type { Traffic } from './traffic.ts'
import { queryReader, validateBody } from './validate.ts'

/** What requests are answered with. */
export interface MountOptions {
  readonly registry: Registry
  /** What handlers get as `ctx`, by class. Its keys are the classes that this process is: one, or all of them in layout `single`. */
  readonly services: Readonly<Partial<Record<ServingClass, unknown>>>
  readonly authenticator: Authenticator
  readonly rateLimiter: RateLimiter
  readonly log: HttpLog
  readonly traffic: Traffic
  /** Milliseconds that only go forward. */
  readonly clock: { monotonic(): number }
  /** Whom to believe about clients' addresses. */
  readonly edge?: EdgeSettings
  /** Names the errors that mean 503 with Retry-After: PostgreSQL cannot be reached, the queue is full. */
  readonly isUnavailable?: UnavailableTest
  /** Told about every authenticated request: where devices are seen. */
  readonly onAuthenticated?: (requester: Requester, from: { readonly ip: string; readonly userAgent: string }) => void
  /** Told of every request before it is looked at; the request waits for what it returns. */
  readonly onArrival?: () => Promise<void> | undefined
  /** Bytes of request bodies held at once. Default 64 MiB. */
  readonly maxBodyBytesHeld?: number
}

const DEFAULT_BODY_BYTES_HELD = 64 * 1024 * 1024

/** Endpoints that answer requests. */
export interface Mounted {
  /**
   * Answers 503 to everything that this class has not answered yet, or breaks off its answer. Whatever the handlers still come to is
   * thrown away.
   */
  abandon(served: ServingClass): void
}

/** Answers every request of an Express application from the registry. Nothing mounted after it is ever reached. */
export function mountEndpoints(app: Express, options: MountOptions): Mounted {
  const mount = new Mount(options)
  app.use(listenerOf(mount))
  return mount
}

/** The same without Express: a listener for `node:http`. */
export function endpointListener(options: MountOptions): (request: IncomingMessage, response: ServerResponse) => void {
  return listenerOf(new Mount(options))
}

function listenerOf(mount: Mount): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    // answer() never rejects: whatever a handler throws becomes a reply or, if that fails too, a log line.
    void mount.answer(request, response)
  }
}

interface Route {
  readonly endpoint: AnyEndpoint
  readonly served: ServingClass
  readonly ctx: unknown
  readonly readQuery: ((query: string) => unknown) | undefined
}

const NO_QUERY = Object.freeze({})
const NO_WAIT = AbortSignal.abort()

class Mount implements Mounted {
  readonly #options: MountOptions
  readonly #routes = new Map<AnyEndpoint, Route>()
  readonly #edge: Edge
  readonly #bodies: BodyBudget
  readonly #isUnavailable: UnavailableTest
  readonly #ids = new RequestIds()
  readonly #open = new Roster<Exchange>()

  constructor(options: MountOptions) {
    this.#options = options
    this.#edge = new Edge(options.edge)
    this.#bodies = new BodyBudget(options.maxBodyBytesHeld ?? DEFAULT_BODY_BYTES_HELD)
    this.#isUnavailable = options.isUnavailable ?? (() => false)
    for (const endpoint of options.registry.endpoints) {
      const served = (endpoint.servedBy as ServingClass[]).find((name) => options.services[name] !== undefined)
      if (served === undefined) continue
      const readQuery = endpoint.query === undefined ? undefined : queryReader(endpoint.query)
      this.#routes.set(endpoint, { endpoint, served, ctx: options.services[served], readQuery })
    }
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { traffic } = this.#options
    const exchange = new Exchange(this.#options, this.#edge, request, response, this.#ids)
    const entered = exchange.method === 'OPTIONS' || traffic.inFlight.enter()
    const place = this.#open.add(exchange)
    response.on('close', () => {
      this.#open.delete(place)
      if (entered && exchange.method !== 'OPTIONS') traffic.inFlight.leave()
      exchange.closed(traffic.answers)
    })
    if (exchange.method === 'OPTIONS') return exchange.preflight()
    if (!entered) {
      traffic.metrics.shed.inc()
      return exchange.fail(overloaded('The server is busy'))
    }
    try {
      const arrival = this.#options.onArrival?.()
      if (arrival !== undefined) await arrival
      const match = this.#options.registry.matcher.match(exchange.method, exchange.path)
      const route = match.kind === 'found' ? this.#routes.get(match.endpoint) : undefined
      if (match.kind !== 'found' || route === undefined) throw refusalOf(match)
      exchange.endpoint = route.endpoint
      await exchange.reply(await this.#run(route, match.params, exchange))
    } catch (error) {
      exchange.failWith(error, this.#isUnavailable)
    }
  }

  abandon(served: ServingClass): void {
    for (const exchange of this.#open.all()) {
      if (exchange.endpoint !== undefined && this.#routes.get(exchange.endpoint)?.served === served) exchange.abandon()
    }
  }

  async #run(route: Route, params: Readonly<Record<string, string>>, exchange: Exchange): Promise<Reply> {
    const { endpoint } = route
    const { authenticator, rateLimiter, traffic } = this.#options
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
    const facts = {
      requestId: exchange.requestId,
      ip: exchange.ip,
      userAgent: exchange.userAgent,
      path: exchange.path,
      method: endpoint.method as Method,
      draining: exchange.noWait ? NO_WAIT : traffic.draining,
      raw: exchange.request,
    }
    const info = new EndpointRequest(facts, traffic.waiting)
    exchange.begin(info)
    return await endpoint.handler({ ctx: route.ctx, params, query, requester, body, request: info })
  }

  async #readBody(endpoint: AnyEndpoint, request: IncomingMessage): Promise<unknown> {
    const read = await readJsonBody(request, endpoint.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES, this.#bodies)
    if (read === undefined && endpoint.bodyOptional !== true) throw new MatrixError('M_NOT_JSON', 'The body is empty')
    const body: RawBody = read ?? { text: '{}', value: {} }
    return isRawBody(endpoint.body) ? body : validateBody(endpoint.body, body)
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
