import { type Affinity, type AnyEndpoint, DEFAULT_MAX_BODY_BYTES, type Method, type PathMatch, type ServingClass } from '@weft/http'

/** What the router knows of an endpoint. It never learns more: what a request means is the worker's business. */
export interface Route {
  /** The endpoint's id: metric label and log field. */
  readonly endpoint: string
  /** Classes that serve it, the preferred one first. */
  readonly servedBy: readonly ServingClass[]
  readonly affinity: Affinity
  /** True where a request that may have reached a worker can be sent again. */
  readonly idempotent: boolean
  /** True where a request may wait for minutes, and answers at once when it is repeated with the header that says so. */
  readonly longPoll: boolean
  /** True where bodies are large in either direction (media): these are streamed from the first byte. */
  readonly streams: boolean
  /** A body that announces more is refused before an instance is bothered; absent where its worker alone knows. */
  readonly maxBodyBytes: number | undefined
}

export type RouteMatch =
  | { readonly kind: 'route'; readonly route: Route; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: 'unknownPath' }
  | { readonly kind: 'wrongMethod'; readonly allow: readonly Method[] }
  | { readonly kind: 'badParameter'; readonly reason: string }

/** Finds the endpoint of a request. `rawPath` is the path as sent, without its query. */
export interface RouteTable {
  match(method: string, rawPath: string): RouteMatch
}

/** The registry, as far as routing goes. */
export interface EndpointRegistry {
  readonly endpoints: readonly AnyEndpoint[]
  readonly matcher: { match(method: string, path: string): PathMatch }
}

/** The registry's routes: the same trie as the workers match with, so that a path means one thing everywhere. */
export class RegistryRoutes implements RouteTable {
  readonly #matcher: EndpointRegistry['matcher']
  readonly #routes = new Map<AnyEndpoint, Route>()

  constructor(registry: EndpointRegistry) {
    this.#matcher = registry.matcher
    for (const endpoint of registry.endpoints) this.#routes.set(endpoint, routeOf(endpoint))
  }

  match(method: string, rawPath: string): RouteMatch {
    const match = this.#matcher.match(method, rawPath)
    switch (match.kind) {
      case 'found': {
        const route = this.#routes.get(match.endpoint)
        return route === undefined ? { kind: 'unknownPath' } : { kind: 'route', route, params: match.params }
      }
      case 'badParameter':
        return { kind: 'badParameter', reason: `Path parameter ${match.parameter} ${match.reason}` }
      default:
        return match
    }
  }
}

function routeOf(endpoint: AnyEndpoint): Route {
  const servedBy: readonly ServingClass[] = endpoint.servedBy
  const streams = servedBy.includes('media')
  return {
    endpoint: endpoint.id,
    servedBy,
    affinity: endpoint.affinity,
    idempotent: endpoint.idempotent ?? (endpoint.method === 'GET' || endpoint.method === 'PUT'),
    longPoll: endpoint.longPoll === true,
    streams,
    maxBodyBytes: streams || endpoint.body === undefined ? undefined : (endpoint.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES),
  }
}
