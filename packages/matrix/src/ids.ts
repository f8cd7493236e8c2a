/**
 * The grammars of Matrix identifiers.
 * Spec: appendices, "Identifier Grammar". Limits are in UTF-8 bytes, not in characters.
 */

/** The limit of user ids, room ids, aliases and event ids, sigil and domain included. */
export const MAX_ID_BYTES = 255

/** A server name in its parts. */
export interface ServerName {
  /** The host without port; an IPv6 literal without its brackets. */
  readonly host: string
  readonly port: number | undefined
  readonly kind: 'dns' | 'ipv4' | 'ipv6'
}

/** An identifier of the form `&localpart:domain`. */
export interface DomainId {
  readonly localpart: string
  readonly serverName: string
}

/** A room id; room version 12 and later have no server name in it. */
export interface RoomId {
  readonly opaqueId: string
  readonly serverName: string | undefined
}

/** A signing or device key id: `algorithm:name`. */
export interface KeyId {
  readonly algorithm: string
  readonly name: string
}

const DNS_NAME = /^[0-9A-Za-z.-]{1,255}$/
const IPV4_SHAPE = /^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$/
const IPV6_CHARS = /^[0-9A-Fa-f:.]{2,45}$/
const PORT = /^\d{1,5}$/
const STRICT_LOCALPART = /^[a-z0-9._=\-/+]+$/
const COMPLIANT_LOCALPART = /^[\x21-\x39\x3b-\x7e]+$/
const HASH = /^[A-Za-z0-9_-]{43}$/
const HASH_STANDARD = /^[A-Za-z0-9+/]{43}$/
const SERVER_KEY_NAME = /^[A-Za-z0-9_]+$/
const NAMESPACED = /^[a-z][a-z0-9._-]{0,254}$/

/**
 * Splits a server name: DNS name, IPv4, or IPv6 in brackets, each with an optional port. Case is kept: names compare exactly.
 *
 * Spec: appendices, "Server Name".
 * @returns `undefined` for what the grammar does not allow
 */
export function parseServerName(text: string): ServerName | undefined {
  let host = text
  let port: number | undefined
  const ipv6 = text.charCodeAt(0) === 0x5b
  const colon = text.indexOf(':', ipv6 ? text.indexOf(']') : 0)
  if (colon !== -1) {
    const portText = text.slice(colon + 1)
    if (!PORT.test(portText)) return undefined
    port = Number(portText)
    if (port > 65535) return undefined
    host = text.slice(0, colon)
  }
  if (ipv6) {
    if (!host.endsWith(']')) return undefined
    const literal = host.slice(1, -1)
    return isIpv6(literal) ? { host: literal, port, kind: 'ipv6' } : undefined
  }
  if (IPV4_SHAPE.test(host)) {
    return host.split('.').every((part) => Number(part) <= 255) ? { host, port, kind: 'ipv4' } : undefined
  }
  return DNS_NAME.test(host) ? { host, port, kind: 'dns' } : undefined
}

/** True for a valid server name. Spec: appendices, "Server Name". */
export function isServerName(text: string): boolean {
  return parseServerName(text) !== undefined
}

/**
 * Splits a user id of the historical grammar, which servers must accept in events: any localpart without `:` and NUL, even an
 * empty one. New users need {@link isStrictUserId}.
 *
 * Spec: appendices, "User Identifiers" and "Historical User IDs".
 * @returns `undefined` for what is no user id or longer than 255 bytes
 */
export function parseUserId(text: string): DomainId | undefined {
  return parseDomainId(text, 0x40)
}

/** True for a user id of the historical grammar. Spec: appendices, "Historical User IDs". */
export function isUserId(text: string): boolean {
  return parseUserId(text) !== undefined
}

/**
 * True for a user id that may be given to clients outside an event: not empty, printable ASCII.
 * Spec: appendices, "Historical User IDs", non-compliant localparts.
 */
export function isCompliantUserId(text: string): boolean {
  const id = parseUserId(text)
  return id !== undefined && COMPLIANT_LOCALPART.test(id.localpart)
}

/** True for a user id of today's grammar, the only one a new user gets. Spec: appendices, "User Identifiers". */
export function isStrictUserId(text: string): boolean {
  const id = parseUserId(text)
  return id !== undefined && STRICT_LOCALPART.test(id.localpart)
}

/** True for a localpart that a new user may have; its length is judged with the server name. Spec: appendices, "User Identifiers". */
export function isStrictLocalpart(localpart: string): boolean {
  return STRICT_LOCALPART.test(localpart)
}

/**
 * Splits a room id: `!opaque:domain`, or `!` and the hash of the create event from room version 12 on.
 *
 * Spec: appendices, "Room IDs".
 * @returns `undefined` for anything else
 */
export function parseRoomId(text: string): RoomId | undefined {
  if (text.charCodeAt(0) !== 0x21) return undefined
  const rest = text.slice(1)
  if (HASH.test(rest)) return { opaqueId: rest, serverName: undefined }
  const id = parseDomainId(text, 0x21)
  return id && { opaqueId: id.localpart, serverName: id.serverName }
}

/** True for a room id of any room version. Spec: appendices, "Room IDs". */
export function isRoomId(text: string): boolean {
  return parseRoomId(text) !== undefined
}

/** Splits a room alias. Spec: appendices, "Room Aliases". @returns `undefined` for anything else */
export function parseRoomAlias(text: string): DomainId | undefined {
  return parseDomainId(text, 0x23)
}

/** True for a room alias. Spec: appendices, "Room Aliases". */
export function isRoomAlias(text: string): boolean {
  return parseRoomAlias(text) !== undefined
}

/** The forms of event ids: given by a server (versions 1 and 2), hash in Base64 (3), hash in URL-safe Base64 (4 and later). */
export type EventIdFormat = 'assigned' | 'base64' | 'base64url'

/**
 * True for an event id, of one form or, without `format`, of any.
 * Spec: appendices, "Event IDs"; room versions 1, 3 and 4, "Event IDs".
 */
export function isEventId(text: string, format?: EventIdFormat): boolean {
  if (text.charCodeAt(0) !== 0x24) return false
  const rest = text.slice(1)
  if (format !== 'assigned') {
    if (format !== 'base64' && HASH.test(rest)) return true
    if (format !== 'base64url' && HASH_STANDARD.test(rest)) return true
    if (format !== undefined) return false
  }
  return parseDomainId(text, 0x24) !== undefined
}

/**
 * The server name in an id: what follows the first colon. Not validated: made for ids that already were.
 * @returns `undefined` for an id without a domain
 */
export function serverNameOf(id: string): string | undefined {
  const colon = id.indexOf(':')
  return colon === -1 ? undefined : id.slice(colon + 1)
}

/** The localpart of an id: what stands between sigil and first colon. Not validated: made for ids that already were. */
export function localpartOf(id: string): string {
  const colon = id.indexOf(':')
  return id.slice(1, colon === -1 ? undefined : colon)
}

/**
 * True for what may be a device id: the spec leaves it opaque, so only emptiness, length and NUL are judged.
 * Spec: client-server API, "Relationship between access tokens and devices".
 */
export function isDeviceId(text: string): boolean {
  return text.length > 0 && fitsBytes(text, MAX_ID_BYTES) && !text.includes('\0') && text.isWellFormed()
}

/** Splits a key id at its first colon. Spec: appendices, "Signing Details". @returns `undefined` if a part is empty or it is too long */
export function parseKeyId(text: string): KeyId | undefined {
  const colon = text.indexOf(':')
  if (colon < 1 || colon === text.length - 1 || !fitsBytes(text, MAX_ID_BYTES)) return undefined
  return { algorithm: text.slice(0, colon), name: text.slice(colon + 1) }
}

/** True for a server's signing key id, whose name is narrower than a device's. Spec: server-server API, "Retrieving server keys". */
export function isServerKeyId(text: string): boolean {
  const id = parseKeyId(text)
  return id !== undefined && SERVER_KEY_NAME.test(id.name)
}

/** True for an identifier such as an EDU or profile field name. Spec: appendices, "Common Namespaced Identifier Grammar". */
export function isNamespacedId(text: string): boolean {
  return NAMESPACED.test(text)
}

/** True when the text has at most `max` bytes in UTF-8. Counts only where the number of UTF-16 units leaves it open. */
export function fitsBytes(text: string, max: number): boolean {
  if (text.length > max) return false
  return text.length * 3 <= max || Buffer.byteLength(text) <= max
}

function parseDomainId(text: string, sigil: number): DomainId | undefined {
  if (text.charCodeAt(0) !== sigil || !fitsBytes(text, MAX_ID_BYTES)) return undefined
  const colon = text.indexOf(':')
  if (colon === -1) return undefined
  const localpart = text.slice(1, colon)
  if (localpart.includes('\0') || !localpart.isWellFormed()) return undefined
  const serverName = text.slice(colon + 1)
  return isServerName(serverName) ? { localpart, serverName } : undefined
}

/** RFC 3513, section 2.2: eight groups, one `::` for a run of zero groups, the last two groups as IPv4 if need be. */
function isIpv6(text: string): boolean {
  if (!IPV6_CHARS.test(text)) return false
  const halves = text.split('::')
  if (halves.length > 2) return false
  let groups = 0
  for (const [index, half] of halves.entries()) {
    if (half === '') continue
    const parts = half.split(':')
    for (const [at, part] of parts.entries()) {
      const last = index === halves.length - 1 && at === parts.length - 1
      if (last && part.includes('.')) {
        if (!IPV4_SHAPE.test(part) || !part.split('.').every((byte) => Number(byte) <= 255)) return false
        groups += 2
      } else {
        if (!/^[0-9A-Fa-f]{1,4}$/.test(part)) return false
        groups += 1
      }
    }
  }
  return halves.length === 2 ? groups <= 7 : groups === 8
}
