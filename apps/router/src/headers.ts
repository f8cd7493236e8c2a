import type { IncomingHttpHeaders } from 'node:http'
import { internalHeaders } from '@weft/http'

/** Names of headers between router and worker begin so. A client's own are dropped (R41). */
const internalPrefix = 'x-weft-'
/** On a 503: the worker refused before it did anything, since it is no active writer, or drains. */
export const notActiveHeader = 'x-weft-not-active'
export const drainingHeader = 'x-weft-draining'

/** What a router that drains adds to a long poll; names and values alternate. */
export const noWait: readonly string[] = [internalHeaders.noWait, '1']

/** Meaningful for one connection only (RFC 9110, 7.6.1), or for the proxy itself. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'http2-settings',
])

/** What proxies say of a request. Of a client that would be a lie; the router has read what it believes of it. */
const forwarding = new Set([
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'x-original-url',
  'x-original-host',
  'x-rewrite-url',
])

function isInternalOrForwarding(lower: string): boolean {
  // Most names do not begin with x-: they cost one look-up in the set.
  if (lower.charCodeAt(0) === 0x78 && (lower.startsWith(internalPrefix) || lower.startsWith('x-forwarded-'))) return true
  return forwarding.has(lower)
}

/** The names that a Connection header adds to the hop-by-hop ones; undefined for the usual `keep-alive` and `close`. */
function namedByConnection(value: string | undefined): Set<string> | undefined {
  if (value === undefined || value === 'keep-alive' || value === 'close') return undefined
  return new Set(value.split(',').map((part) => part.trim().toLowerCase()))
}

/** What the router says of a request to the worker. */
export interface Provenance {
  readonly secret: string
  readonly clientAddress: string
  readonly requestId: string
}

/**
 * The headers that a worker gets: the client's in their order and with their names as sent, without hop-by-hop,
 * internal and forwarding ones, then the router's own. Names and values alternate; Content-Length is left to the
 * transport. X-Forwarded-For holds one address, the client's, found through the proxies that the configuration trusts.
 */
export function upstreamHeaders(raw: readonly string[], connection: string | undefined, from: Provenance): string[] {
  const named = namedByConnection(connection)
  const out: string[] = []
  let host = false
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!
    const lower = name.toLowerCase()
    if (lower === 'host') {
      // A second one would let router and worker disagree.
      if (host) continue
      host = true
    } else if (lower === 'content-length' || hopByHop.has(lower) || isInternalOrForwarding(lower) || named?.has(lower) === true) continue
    out.push(name, raw[i + 1]!)
  }
  out.push(
    internalHeaders.clientAddress,
    from.clientAddress,
    internalHeaders.requestId,
    from.requestId,
    internalHeaders.secret,
    from.secret,
  )
  return out
}

/** The headers of a worker's answer that the client gets: all but hop-by-hop and internal ones. Names and values alternate. */
export function downstreamHeaders(headers: IncomingHttpHeaders, close: boolean): string[] {
  const named = namedByConnection(headers.connection?.toLowerCase())
  const out: string[] = []
  for (const name in headers) {
    if (hopByHop.has(name) || name.startsWith(internalPrefix) || named?.has(name) === true) continue
    const value = headers[name]
    if (typeof value === 'string') out.push(name, value)
    else if (value !== undefined) for (const one of value) out.push(name, one)
  }
  if (close) out.push('connection', 'close')
  return out
}
