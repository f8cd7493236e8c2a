import type { AnyEndpoint } from '../endpoint.ts'
import { isRawBody, queryShapeOf } from '../registry.ts'
import { bodyCases } from './body-cases.ts'
import { fillPath, pathCases, tokenCases } from './path-cases.ts'
import type { MalformedHttp, MalformedRequest } from './request.ts'
import { sampleOf, shapeOf } from './sample.ts'

export * from './request.ts'

export interface MalformedOptions {
  /** Path parameters for the parts of a request that are not wrong: a room that exists, the token's own user. */
  readonly params?: Readonly<Record<string, string>>
  /** A body that is right; made from the schema where it is absent. */
  readonly body?: object
}

/**
 * Requests to an endpoint that are wrong in one way each, generated from its definition, with what must be answered. Whoever sends them
 * needs rate limits off and, for an endpoint that ends sessions, a new access token whenever one is asked for.
 */
export function* malformedRequests(endpoint: AnyEndpoint, options: MalformedOptions = {}): Generator<MalformedRequest> {
  const params = options.params ?? {}
  const sample = options.body ?? sampleBody(endpoint)
  const query = sampleQuery(endpoint)
  const base: MalformedHttp = {
    method: endpoint.method,
    path: fillPath(endpoint, params) + (query.size === 0 ? '' : `?${query}`),
    headers: {},
    authenticated: endpoint.auth !== 'none',
    ...(endpoint.body === undefined ? {} : { body: JSON.stringify(sample) }),
  }
  yield* pathCases(endpoint, base, params)
  yield* tokenCases(endpoint, base)
  yield* queryCases(endpoint, base, query)
  yield* bodyCases(endpoint, base, sample)
}

function sampleBody(endpoint: AnyEndpoint): object {
  if (endpoint.body === undefined || isRawBody(endpoint.body)) return {}
  return sampleOf(shapeOf(endpoint.body)) as object
}

function sampleQuery(endpoint: AnyEndpoint): URLSearchParams {
  const query = new URLSearchParams()
  if (endpoint.query === undefined) return query
  const shape = shapeOf(endpoint.query)
  for (const key of shape.required ?? []) {
    const value = sampleOf(shape.properties?.[key] ?? { type: 'string' })
    query.set(key, typeof value === 'object' ? 'malformed' : String(value))
  }
  // A long poll would wait for what no test brings.
  if (queryShapeOf(endpoint.query)?.has('timeout') === true) query.set('timeout', '0')
  return query
}

const ODD_QUERY_VALUES = [
  '',
  '-1',
  '0',
  'abc',
  '1e400',
  '1.5',
  '99999999999999999999',
  '__proto__',
  'null',
  '{}',
  '[]',
  '{"a":',
  '%zz',
  '%FF',
  '%F0%9F%91%BB',
  'x'.repeat(5000),
]

function* queryCases(endpoint: AnyEndpoint, base: MalformedHttp, query: URLSearchParams): Generator<MalformedRequest> {
  const path = base.path.split('?', 1)[0] as string
  const to = (text: string): MalformedHttp => ({
    ...base,
    path: `${path}?${[query.toString(), text].filter((part) => part !== '').join('&')}`,
  })
  for (const text of [
    '__proto__=x&constructor=y&toString',
    '%zz',
    '%FF=%FF',
    '&&&===',
    '?',
    'a[b]=c&a[__proto__][d]=e',
    `${'a&'.repeat(2000)}`,
  ]) {
    yield { name: `query: ${text.slice(0, 30)}`, send: to(text), expect: {} }
  }
  if (endpoint.query === undefined) return
  const names = [...(queryShapeOf(endpoint.query)?.keys() ?? [])]
  for (const name of names) {
    const others = new URLSearchParams([...query].filter(([key]) => key !== name)).toString()
    const send = (value: string): MalformedHttp => ({ ...base, path: `${path}?${others === '' ? '' : `${others}&`}${name}=${value}` })
    yield { name: `query.${name}: NUL`, send: send('a%00b'), expect: { status: 400, errcodes: ['M_INVALID_PARAM'] } }
    for (const value of ODD_QUERY_VALUES) yield { name: `query.${name}: ${value.slice(0, 30)}`, send: send(value), expect: {} }
    yield { name: `query.${name}: twice`, send: send(`1&${name}=2`), expect: {} }
  }
  for (const name of query.keys()) {
    if (!(shapeOf(endpoint.query).required ?? []).includes(name)) continue
    const others = new URLSearchParams([...query].filter(([key]) => key !== name)).toString()
    yield {
      name: `query.${name}: missing`,
      send: { ...base, path: `${path}?${others}` },
      expect: { status: 400, errcodes: ['M_MISSING_PARAM'] },
    }
  }
}
