/**
 * What a log line never contains (R34). The patterns work on finished lines, JSON or text, so that no field, message, nested object or
 * stack of a library can carry a secret past them.
 */
const SUSPECT = /token|passw|secret|authoriz|bearer|:\/\/[^/\s]*@|(?:wft|syt|syr)_/i

/** `access_token=…` in a query, percent-encoded underscores included. */
const QUERY = /((?:access|refresh|login|registration)(?:_|%5f)token(?:=|%3d)|[?&]token=)[^&\s"'\\]+/gi
/** `Authorization: Bearer …`, in any spelling. */
const BEARER = /\b(bearer\s+)[^\s"',\\]+/gi
/** Access and refresh tokens by their looks: ours, and those of Synapse. */
const TOKEN = /\b(wft|syt|syr)_[A-Za-z0-9_\-~.=]{4,}/g
/** Credentials in URLs, as of PostgreSQL and Redis. */
const URL_CREDENTIALS = /(:\/\/[^/\s:@"\\]*):[^/\s@"\\]+@/g
const NAMES =
  'access_token|refresh_token|login_token|registration_token|token|password|new_password|old_password|secret|internal_secret|registration_shared_secret|authorization|x-weft-internal-secret'
/** Fields by name: in JSON, in JSON that stands in a JSON string, and as key=value. */
const FIELD = new RegExp(String.raw`("(?:${NAMES})"\s*:\s*)(?:"(?:[^"\\]|\\.)*"|\[[^\]]*\])`, 'gi')
const ESCAPED_FIELD = new RegExp(String.raw`(\\"(?:${NAMES})\\"\s*:\s*)\\"(?:[^"\\]|\\\\(?:\\"|\\\\|[^"\\]))*\\"`, 'gi')
const PAIR = new RegExp(String.raw`\b((?:${NAMES})=)(?:"(?:[^"\\]|\\.)*"|[^\s&"\\]+)`, 'gi')

/** Takes tokens, passwords and other secrets out of a line. */
export function scrub(line: string): string {
  if (!SUSPECT.test(line)) return line
  return line
    .replace(FIELD, '$1"[redacted]"')
    .replace(ESCAPED_FIELD, '$1\\"[redacted]\\"')
    .replace(QUERY, '$1[redacted]')
    .replace(PAIR, '$1[redacted]')
    .replace(BEARER, '$1[redacted]')
    .replace(TOKEN, '$1_[redacted]')
    .replace(URL_CREDENTIALS, '$1:[redacted]@')
}
