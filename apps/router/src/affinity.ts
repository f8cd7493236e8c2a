import { type Affinity, accessTokenOf } from '@weft/http'

/**
 * The 32-bit FNV-1a hash of a text's UTF-16 units. It decides placement only, so an attacker who finds collisions
 * gains nothing but the placement that he could have had by choosing his own name.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/**
 * The weight of an instance for a key: rendezvous hashing, the highest weight wins. When an instance leaves, only its
 * own keys move, and they spread over all others; one that joins takes an equal share from each.
 */
export function weight(keyHash: number, instanceHash: number): number {
  // The finaliser of MurmurHash3: both inputs are FNV hashes, whose high bits mix poorly by themselves.
  let h = keyHash ^ Math.imul(instanceHash, 0x9e3779b1)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

const tokenPrefix = 'wft_'

/**
 * The localpart's part of an access token `wft_<base64url localpart>_<random>`, or undefined for other tokens. It is a
 * hint and proves nothing. Both parts may hold `_`, so the text up to the first one is taken: the same for all
 * tokens of a user, which is all that affinity needs.
 */
export function userHint(accessToken: string): string | undefined {
  if (!accessToken.startsWith(tokenPrefix)) return undefined
  const end = accessToken.indexOf('_', tokenPrefix.length)
  return end > tokenPrefix.length ? accessToken.slice(tokenPrefix.length, end) : undefined
}

/**
 * The hash that places a request among the instances of its class. Requests without the key that the endpoint asks for
 * are placed by user, and without a token by address.
 */
export function affinityHash(
  affinity: Affinity,
  params: Readonly<Record<string, string>>,
  authorization: string | undefined,
  url: string,
  ip: string,
): number {
  if (affinity === 'roomId') {
    const room = Object.hasOwn(params, 'roomId') ? params.roomId : Object.hasOwn(params, 'roomIdOrAlias') ? params.roomIdOrAlias : undefined
    if (room !== undefined) return hash32(room)
  }
  const query = url.indexOf('?')
  const token = accessTokenOf(authorization, query < 0 ? '' : url.slice(query + 1))
  return hash32((token === undefined ? undefined : userHint(token)) ?? ip)
}
