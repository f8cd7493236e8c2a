import { globListMatcher } from './glob.ts'
import { parseServerName } from './ids.ts'
import { type JsonObject, own, ownArray } from './json.ts'

/** A room's server ACL, compiled once per event. */
export interface ServerAcl {
  /** False when the server may not take part in the room. */
  allows(serverName: string): boolean
}

const ALLOW_ALL: ServerAcl = { allows: () => true }

/**
 * Compiles the content of an `m.room.server_acl` event. Entries that are no strings are ignored, lists that are no lists are
 * empty. Repeated entries cost nothing, those without wildcards one look-up together.
 *
 * Spec: client-server API, "m.room.server_acl".
 * @param content `undefined` when the room has no such event
 */
export function compileServerAcl(content: JsonObject | undefined): ServerAcl {
  if (content === undefined) return ALLOW_ALL
  const denyIpLiterals = own(content, 'allow_ip_literals') === false
  const denied = globListMatcher(strings(content, 'deny'), { ignoreCase: true })
  const allowed = globListMatcher(strings(content, 'allow'), { ignoreCase: true })
  return {
    allows(serverName) {
      const parsed = parseServerName(serverName)
      if (parsed === undefined) return false
      if (denyIpLiterals && parsed.kind !== 'dns') return false
      // The port does not count, the brackets of an IPv6 literal do.
      const host = parsed.kind === 'ipv6' ? `[${parsed.host}]` : parsed.host
      return !denied(host) && allowed(host)
    },
  }
}

/** True when an ACL would shut this server out of the room, which no client of it should send. Spec: client-server API, "m.room.server_acl". */
export function aclLocksOut(content: JsonObject, serverName: string): boolean {
  return !compileServerAcl(content).allows(serverName)
}

function strings(content: JsonObject, key: string): string[] {
  return (ownArray(content, key) ?? []).filter((entry): entry is string => typeof entry === 'string')
}
