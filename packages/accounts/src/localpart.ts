import { randomInt } from 'node:crypto'
import { isStrictLocalpart, isStrictUserId, MatrixError, parseUserId } from '@weft/matrix'

const GENERATED_LETTERS = 'abcdefghijklmnopqrstuvwxyz234567'
const GENERATED_LENGTH = 16

/**
 * The user id for a desired username: capitals are mapped to small letters, anything else that the grammar of new user ids
 * does not allow is refused.
 * Spec: appendices, "User Identifiers"; client-server API, POST /register.
 * @throws MatrixError M_INVALID_USERNAME
 */
export function userIdForUsername(username: string, serverName: string): string {
  const localpart = smallLetters(username)
  if (!isStrictLocalpart(localpart)) {
    throw new MatrixError('M_INVALID_USERNAME', "A user name can only contain the characters a-z, 0-9, or '=_-./+'")
  }
  const userId = `@${localpart}:${serverName}`
  if (!isStrictUserId(userId)) throw new MatrixError('M_INVALID_USERNAME', 'The user id would be longer than 255 bytes')
  return userId
}

/** A localpart for a client that desires none: 80 random bits, so that it needs no second try. */
export function generateLocalpart(): string {
  let localpart = ''
  for (let i = 0; i < GENERATED_LENGTH; i++) localpart += GENERATED_LETTERS[randomInt(GENERATED_LETTERS.length)]
  return localpart
}

/**
 * The user ids that an identifier's `user` may mean, best first: as given, and in small letters, which is how new accounts
 * are named. Empty for a user of another server or what cannot be a user id.
 * Spec: client-server API, "Matrix User ID" (a full user id or a localpart).
 */
export function userIdCandidates(user: string, serverName: string): string[] {
  const full = user.startsWith('@') ? user : `@${user}:${serverName}`
  const parsed = parseUserId(full)
  if (parsed === undefined || parsed.serverName !== serverName) return []
  const lower = `@${smallLetters(parsed.localpart)}:${serverName}`
  return lower === full ? [full] : [full, lower]
}

/** ASCII only: full case mapping would make two names of one (the Kelvin sign is a `k` in small letters). */
function smallLetters(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
