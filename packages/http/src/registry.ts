import { z } from 'zod'
import { type AnyEndpoint, rawJsonObject, type ServingClass } from './endpoint.ts'
import { Matcher } from './matcher.ts'
import { expandPaths, parseTemplate } from './path.ts'
import { countedBy } from './rate-limit.ts'

/**
 * All endpoints of a server: the only place that knows its routes. The router's table, 404 against 405, metric labels, proxy maps,
 * documents and the coverage test against the specification are derived from it.
 */
export class Registry {
  readonly endpoints: readonly AnyEndpoint[]
  readonly matcher: Matcher
  readonly #byId = new Map<string, AnyEndpoint>()

  /** @throws Error for two endpoints with one id or one route, and for a definition that contradicts itself */
  constructor(endpoints: readonly AnyEndpoint[]) {
    for (const endpoint of endpoints) {
      if (this.#byId.has(endpoint.id)) throw new Error(`two endpoints are called ${endpoint.id}`)
      this.#byId.set(endpoint.id, endpoint)
      const contradiction = contradictionIn(endpoint)
      if (contradiction !== undefined) throw new Error(`${endpoint.id}: ${contradiction}`)
    }
    this.endpoints = [...endpoints]
    this.matcher = new Matcher(this.endpoints)
  }

  /** The endpoint with this id, such as `client.sendMessage`. */
  get(id: string): AnyEndpoint | undefined {
    return this.#byId.get(id)
  }

  /** Every path that the endpoint answers on, the specification's own first. */
  pathsOf(endpoint: AnyEndpoint): string[] {
    return expandPaths(endpoint.path, endpoint.aliases)
  }

  /** The endpoints of which `servingClass` is one of the classes that may answer. */
  servedBy(servingClass: ServingClass): AnyEndpoint[] {
    return this.endpoints.filter((endpoint) => endpoint.servedBy.includes(servingClass))
  }

  /** `unstable_features` of /versions: what some endpoint names is on. */
  unstableFeatures(): Record<string, true> {
    const names = this.endpoints.flatMap((endpoint): readonly string[] => endpoint.unstableFeatures ?? [])
    return Object.fromEntries([...new Set(names)].sort().map((name) => [name, true]))
  }
}

function contradictionIn(endpoint: AnyEndpoint): string | undefined {
  const params: readonly string[] = parseTemplate(endpoint.path).params
  const wanted = [...params].sort().join()
  for (const path of expandPaths(endpoint.path, endpoint.aliases)) {
    if ([...parseTemplate(path).params].sort().join() !== wanted) return `the alias ${path} has other parameters`
  }
  if (endpoint.servedBy.length === 0) return 'no class serves it'
  if (endpoint.method === 'GET' && endpoint.body !== undefined) return 'a GET has no body'
  if (endpoint.affinity === 'roomId' && !params.includes('roomId') && !params.includes('roomIdOrAlias')) {
    return 'affinity roomId needs a parameter {roomId} or {roomIdOrAlias}'
  }
  if (endpoint.auth === 'none' && endpoint.rateLimit !== undefined && countedBy[endpoint.rateLimit] === 'user') {
    return `rate limit ${endpoint.rateLimit} counts by user, and the endpoint knows none`
  }
  if (endpoint.bodyOptional === true && endpoint.body === undefined) return 'bodyOptional without a body'
  if (endpoint.query !== undefined && queryShapeOf(endpoint.query) === undefined) return 'query must be a z.object'
  return undefined
}

/** The keys of a query schema and whether each may be given several times; undefined for anything but an object schema. */
export function queryShapeOf(schema: z.ZodType): ReadonlyMap<string, { readonly many: boolean }> | undefined {
  const object = innermost(schema)
  if (!(object instanceof z.ZodObject)) return undefined
  const entries = Object.entries(object.shape as Record<string, z.ZodType>)
  return new Map(entries.map(([name, value]) => [name, { many: innermost(value) instanceof z.ZodArray }]))
}

/** The schema that sees the input first, under defaults, optionals and transformations. */
function innermost(schema: z.ZodType): z.ZodType {
  for (;;) {
    if (schema instanceof z.ZodPipe) schema = (schema.in instanceof z.ZodTransform ? schema.out : schema.in) as z.ZodType
    else if (
      schema instanceof z.ZodOptional ||
      schema instanceof z.ZodNullable ||
      schema instanceof z.ZodDefault ||
      schema instanceof z.ZodPrefault ||
      schema instanceof z.ZodCatch ||
      schema instanceof z.ZodReadonly
    ) {
      schema = schema.unwrap() as z.ZodType
    } else return schema
  }
}

/** True for the body kind that is handed over as text and never passes through zod. */
export function isRawBody(body: unknown): body is typeof rawJsonObject {
  return body === rawJsonObject
}
