import type { AnyEndpoint } from '../endpoint.ts'
import { parseTemplate } from '../path.ts'
import type { Expectation, MalformedHttp, MalformedRequest } from './request.ts'

/** Values that JavaScript and databases trip over, percent-encoded: as path parameters they may well be valid. */
const ODD_VALUES: ReadonlyMap<string, string> = new Map([
  ['__proto__', '__proto__'],
  ['constructor', 'constructor'],
  ['toString', 'toString'],
  ['256 bytes', 'x'.repeat(256)],
  ['1024 bytes', 'x'.repeat(1024)],
  ['255 characters of 2 bytes', '%C3%A4'.repeat(255)],
  ['slashes', '%2F..%2F..%2Fetc%2Fpasswd'],
  ['a dot', '%2E'],
  ['quotes', '%27%22%5C%3B--'],
  ['white space', '%20%0D%0A%09'],
  ['an emoji', '%F0%9F%91%BB'],
  ['a user id without localpart', '%40%3A'],
  ['a sigil', '%21'],
  ['a wildcard', '%25%25'],
])

const BAD_VALUES: ReadonlyMap<string, string> = new Map([
  ['half an escape', '%2'],
  ['no escape', '%zz'],
  ['invalid UTF-8', '%FF'],
  ['truncated UTF-8', '%E0%A4'],
  ['a lone surrogate', '%ED%A0%80'],
  ['NUL', 'a%00b'],
  ['2000 bytes', 'x'.repeat(2000)],
])

const sampleParams: Readonly<Record<string, string>> = {
  roomId: '!malformed:localhost',
  roomIdOrAlias: '!malformed:localhost',
  roomAlias: '#malformed:localhost',
  userId: '@malformed:localhost',
  eventId: '$malformed',
}

/** What a path parameter is called when it is not what a case is about. */
function sampleParam(name: string, given: Readonly<Record<string, string>> = {}): string {
  if (Object.hasOwn(given, name)) return given[name] as string
  return Object.hasOwn(sampleParams, name) ? (sampleParams[name] as string) : 'malformed'
}

/** The endpoint's path with its parameters filled in. @param raw values that go in as they are, not encoded */
export function fillPath(
  endpoint: AnyEndpoint,
  params: Readonly<Record<string, string>>,
  raw: Readonly<Record<string, string>> = {},
): string {
  const { segments, trailingSlash } = parseTemplate(endpoint.path)
  const filled = segments.map((segment) => {
    if ('literal' in segment) return segment.literal
    return Object.hasOwn(raw, segment.param) ? raw[segment.param] : encodeURIComponent(sampleParam(segment.param, params))
  })
  return `/${filled.join('/')}${trailingSlash ? '/' : ''}`
}

/** Wrong paths, parameters and methods. `base` is a request that is right in all else. */
export function* pathCases(
  endpoint: AnyEndpoint,
  base: MalformedHttp,
  params: Readonly<Record<string, string>>,
): Generator<MalformedRequest> {
  const notFound: Expectation = { status: 404, errcodes: ['M_UNRECOGNIZED'] }
  const path = fillPath(endpoint, params)
  const query = base.path.slice(base.path.indexOf('?') === -1 ? base.path.length : base.path.indexOf('?'))
  const at = (name: string, where: string, expect: Expectation): MalformedRequest => ({
    name: `path: ${name}`,
    send: { ...base, path: where + query },
    expect,
  })
  yield at('a segment in front', `/x${path}`, notFound)
  yield at('an empty segment in front', `/${path}`, notFound)
  yield at('more segments than any path', path.replace(/\/$/, '') + '/extra'.repeat(12), notFound)
  yield at('dots', `/..${path}`, notFound)
  yield at('dots inside', path.replace('/', '/x/../'), notFound)
  yield at('no slash in front', path.slice(1) === '' ? '*' : path.slice(1), {})
  for (const segment of parseTemplate(endpoint.path).segments) {
    if ('literal' in segment) continue
    const name = segment.param
    for (const [what, value] of BAD_VALUES) {
      yield at(`${name}: ${what}`, fillPath(endpoint, params, { [name]: value }), { status: 400, errcodes: ['M_INVALID_PARAM'] })
    }
    for (const [what, value] of ODD_VALUES) yield at(`${name}: ${what}`, fillPath(endpoint, params, { [name]: value }), {})
    if (!segment.optional) yield at(`${name}: empty`, fillPath(endpoint, params, { [name]: '' }), notFound)
  }
  for (const method of ['PATCH', 'TRACE', 'PROPFIND']) {
    yield { name: `method: ${method}`, send: { ...base, method }, expect: { status: 405, errcodes: ['M_UNRECOGNIZED'] } }
  }
  yield { name: 'method: OPTIONS', send: { ...base, method: 'OPTIONS', body: undefined, authenticated: false }, expect: { status: 204 } }
}

/** Missing and wrong access tokens. */
export function* tokenCases(endpoint: AnyEndpoint, base: MalformedHttp): Generator<MalformedRequest> {
  if (endpoint.auth === 'none') return
  const refused = (name: string, errcode: string, headers: Record<string, string>, query = ''): MalformedRequest => {
    const path = query === '' ? base.path : `${base.path}${base.path.includes('?') ? '&' : '?'}${query}`
    const send = { ...base, path, headers: { ...base.headers, ...headers }, authenticated: false }
    return { name: `token: ${name}`, send, expect: { status: 401, errcodes: [errcode] } }
  }
  if (endpoint.auth === 'accessToken') {
    yield refused('missing', 'M_MISSING_TOKEN', {})
    yield refused('empty', 'M_MISSING_TOKEN', { authorization: 'Bearer ' }, 'access_token=')
    yield refused('another scheme', 'M_MISSING_TOKEN', { authorization: 'Basic d2VmdDp3ZWZ0' })
  }
  for (const token of ['unknown', 'wft_bWFsZm9ybWVk_unknown', '__proto__', 'constructor', 'x'.repeat(4000)]) {
    yield refused(`unknown (${token.slice(0, 24)})`, 'M_UNKNOWN_TOKEN', { authorization: `Bearer ${token}` })
  }
  for (const token of ['a%00b', '%FF', '%F0%9F%91%BB'])
    yield refused(`unknown in the query (${token})`, 'M_UNKNOWN_TOKEN', {}, `access_token=${token}`)
}
