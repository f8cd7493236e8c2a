import type { IncomingMessage, ServerResponse } from 'node:http'

/** What node reads and drops by itself after an answer, for the next request on the connection. */
const SMALL_BODY_BYTES = 64 * 1024
/** What is still read and thrown away of a body that was refused, and for how long. */
const LINGER_BYTES = 32 * 1024 * 1024
export const LINGER_MS = 5000

/** True when nothing, or known to be little, is unread of the body: the connection can serve the next request. */
export function isReadOrSmall({ complete, headers }: IncomingMessage): boolean {
  return complete || (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) <= SMALL_BODY_BYTES)
}

/**
 * Ends an answer, which is written and says that the connection closes, to a request whose body is still coming. Closing at once would
 * reset the connection under a client that is still sending, and it might never see the answer: so a bounded part of the rest is
 * read and dropped first.
 */
export function endUnread(request: IncomingMessage, response: ServerResponse, lingerMs = LINGER_MS): void {
  let dropped = 0
  const end = () => response.end()
  const patience = setTimeout(end, lingerMs)
  request.on('data', (chunk: Buffer) => {
    dropped += chunk.length
    if (dropped > LINGER_BYTES) end()
  })
  request.on('end', end)
  response.on('close', () => clearTimeout(patience))
  request.resume()
}
