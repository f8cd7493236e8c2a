import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { corsHeaders } from './cors.ts'
import type { Reply } from './endpoint.ts'
import type { ErrorReply } from './errors.ts'
import { endUnread } from './unread.ts'
import type { UnreadAnswers } from './unread-answers.ts'

/** Facts that every answer of one exchange carries. */
export interface Envelope {
  readonly requestId: string
  /** This process drains: the connection ends with the answer. */
  readonly close: boolean
}

type Headers = Record<string, string | number>

/**
 * Writes a reply. JSON goes out in one write with its length, unless it is very large.
 *
 * @returns bytes of the body; undefined for a stream
 */
export async function sendReply(
  response: ServerResponse,
  reply: Reply,
  envelope: Envelope,
  unread: UnreadAnswers,
): Promise<number | undefined> {
  const headers = startHeaders(envelope, reply.headers)
  if ('stream' in reply) {
    headers['content-type'] = reply.contentType
    response.writeHead(reply.status ?? 200, headers)
    await pipeline(reply.stream, response)
    return undefined
  }
  const text = 'jsonText' in reply ? reply.jsonText : JSON.stringify(reply.json)
  unread.add(response, text.length)
  if (text.length > LARGE_TEXT) return sendInPieces(response, reply.status ?? 200, headers, text)
  return sendJson(response, reply.status ?? 200, headers, text)
}

/** Above this many characters a text is encoded and written piece by piece, its length untold: 4 MB at once hold the event loop for 30 ms. */
const LARGE_TEXT = 512 * 1024

async function sendInPieces(response: ServerResponse, status: number, headers: Headers, text: string): Promise<number> {
  headers['content-type'] = 'application/json'
  response.writeHead(status, headers)
  let length = 0
  const counted = async function* () {
    // The first cut makes one string of all that the text was put together from: as long as putting it together took.
    await turn()
    for (const piece of pieces(text)) {
      length += piece.length
      yield piece
      await turn()
    }
  }
  await pipeline(Readable.from(counted(), { objectMode: false }), response)
  return length
}

const PIECE = 256 * 1024

/** The text in UTF-8, cut between characters. */
function* pieces(text: string): Generator<Buffer> {
  for (let from = 0; from < text.length; ) {
    let to = Math.min(from + PIECE, text.length)
    const last = text.charCodeAt(to - 1)
    if (last >= 0xd800 && last < 0xdc00 && to < text.length) to--
    yield Buffer.from(text.slice(from, to))
    from = to
  }
}

/** Writes an error. */
export function sendError(response: ServerResponse, reply: ErrorReply, envelope: Envelope): number {
  return sendJson(response, reply.status, startHeaders(envelope, reply.headers), JSON.stringify(reply.body))
}

/** Writes an error to a request whose body was not read to its end, and closes the connection after it. */
export function sendErrorUnread(request: IncomingMessage, response: ServerResponse, reply: ErrorReply, envelope: Envelope): number {
  const text = JSON.stringify(reply.body)
  const length = Buffer.byteLength(text)
  const headers = startHeaders({ ...envelope, close: true }, reply.headers)
  headers['content-type'] = 'application/json'
  headers['content-length'] = length
  response.writeHead(reply.status, headers)
  response.write(text)
  endUnread(request, response)
  return length
}

function sendJson(response: ServerResponse, status: number, headers: Headers, text: string): number {
  const length = Buffer.byteLength(text)
  headers['content-type'] = 'application/json'
  headers['content-length'] = length
  response.writeHead(status, headers)
  response.end(text)
  return length
}

function startHeaders(envelope: Envelope, extra: Readonly<Record<string, string>> | undefined): Headers {
  const headers: Headers = { ...corsHeaders, 'x-request-id': envelope.requestId }
  if (envelope.close) headers.connection = 'close'
  if (extra !== undefined) for (const name of Object.keys(extra)) headers[name.toLowerCase()] = extra[name] as string
  return headers
}
