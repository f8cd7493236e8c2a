import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP, isIPv4 } from 'node:net'

/** Headers between the router and the processes behind it. The router strips them from what clients send (R41). */
export const internalHeaders = {
  /** Proves that the request comes from a router of this server. */
  secret: 'x-weft-internal-secret',
  requestId: 'x-weft-request-id',
  /** The client's address as the router saw it, through its trusted proxies. */
  clientAddress: 'x-forwarded-for',
  /** The router drains: a long poll answers at once, as if the process itself drained. */
  noWait: 'x-weft-no-wait',
} as const

/** Whose word counts at a door. */
export interface EdgeSettings {
  /** The internal secret; absent where no router stands in front. */
  readonly trustedSecret?: string
  /** The listener's `x_forwarded`: believe X-Forwarded-For from trusted proxies. */
  readonly xForwarded?: boolean
  /** CIDRs or single addresses of the proxies in front. */
  readonly trustedProxies?: readonly string[]
}

/** Decides whose word counts about where a request comes from. */
export class Edge {
  readonly #secret: Buffer | undefined
  readonly #proxies: BlockList | undefined

  /** @throws Error for a trusted proxy that is neither an address nor a CIDR, and for an empty secret (R31) */
  constructor(settings: EdgeSettings = {}) {
    if (settings.trustedSecret === '') throw new Error('the internal secret is empty')
    this.#secret = settings.trustedSecret === undefined ? undefined : Buffer.from(settings.trustedSecret)
    this.#proxies = settings.xForwarded === true ? blockList(settings.trustedProxies ?? []) : undefined
  }

  /** True for a request that carries the internal secret: it comes from a router of this server. */
  isInternal(request: IncomingMessage): boolean {
    const given = request.headers[internalHeaders.secret]
    if (this.#secret === undefined || typeof given !== 'string') return false
    const bytes = Buffer.from(given)
    return bytes.length === this.#secret.length && timingSafeEqual(bytes, this.#secret)
  }

  /** The client's address. A header counts only from a router or from a trusted proxy. */
  clientAddress(request: IncomingMessage, internal: boolean): string {
    const peer = bareAddress(request.socket.remoteAddress ?? '') ?? 'unknown'
    const header = request.headers[internalHeaders.clientAddress]
    if (typeof header !== 'string') return peer
    if (internal) return bareAddress(header) ?? peer
    return this.#proxies === undefined ? peer : nearestUntrusted(peer, header, this.#proxies)
  }
}

/** Walks X-Forwarded-For from its right end, which the nearest proxy wrote, past the proxies that are trusted. */
function nearestUntrusted(peer: string, header: string, proxies: BlockList): string {
  let address = peer
  const hops = header.split(',')
  while (isListed(proxies, address)) {
    const hop = hops.pop()
    const next = hop === undefined ? undefined : bareAddress(hop.trim())
    if (next === undefined) break
    address = next
  }
  return address
}

/** An address without port, brackets and the IPv4-mapped form; undefined for anything else. */
function bareAddress(text: string): string | undefined {
  if (text.startsWith('[')) text = text.slice(1, text.indexOf(']'))
  else if (text.includes('.') && text.indexOf(':') === text.lastIndexOf(':')) text = text.split(':', 1)[0] as string
  if (text.startsWith('::ffff:') && isIPv4(text.slice(7))) text = text.slice(7)
  return isIP(text) === 0 ? undefined : text
}

function blockList(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', bits, ...rest] = entry.split('/')
    const family = isIP(address)
    const prefix = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits)
    if (family === 0 || rest.length > 0 || !/^\d+$/.test(bits ?? '0') || prefix > (family === 4 ? 32 : 128)) {
      throw new Error(`trusted proxy ${JSON.stringify(entry)} is neither an address nor a CIDR`)
    }
    list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

function isListed(list: BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6')
}
