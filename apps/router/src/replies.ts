import type { IncomingMessage, ServerResponse } from 'node:http'
import { corsHeaders, endUnread, preflightHeaders } from '@weft/http'
import type { Errcode } from '@weft/matrix'

/** An answer that the router gives itself. `retryAfterSeconds` becomes the Retry-After header. */
export interface OwnAnswer {
  readonly status: number
  readonly errcode: Errcode
  readonly error: string
  readonly retryAfterSeconds?: number
  readonly allow?: readonly string[]
}

const corsPairs: readonly string[] = Object.entries(corsHeaders).flat()
const preflightPairs: readonly string[] = Object.entries(preflightHeaders).flat()

/** The same to a request whose body is still coming: the connection ends after it. */
export function answerUnread(req: IncomingMessage, res: ServerResponse, reply: OwnAnswer, lingerMs: number): void {
  if (res.headersSent || res.destroyed) return
  res.write(writeHead(res, reply, true))
  endUnread(req, res, lingerMs)
}

/** Writes an answer of the router's own, unless one was begun. `close` ends the connection after it. */
export function answer(res: ServerResponse, reply: OwnAnswer, close: boolean): void {
  if (res.headersSent || res.destroyed) return
  res.end(writeHead(res, reply, close))
}

/** @returns the body that goes with it */
function writeHead(res: ServerResponse, reply: OwnAnswer, close: boolean): string {
  const body = JSON.stringify({ errcode: reply.errcode, error: reply.error })
  const headers = [...corsPairs, 'content-type', 'application/json', 'content-length', String(Buffer.byteLength(body))]
  if (reply.retryAfterSeconds !== undefined) headers.push('retry-after', String(reply.retryAfterSeconds))
  if (reply.allow !== undefined) headers.push('allow', [...reply.allow, 'OPTIONS'].join(', '))
  if (close) headers.push('connection', 'close')
  res.writeHead(reply.status, headers)
  return body
}

/** Answers a preflight request; any path has one, so that a browser sees the error of the request that follows. */
export function answerPreflight(res: ServerResponse, close: boolean): void {
  res.writeHead(204, close ? [...preflightPairs, 'connection', 'close'] : [...preflightPairs])
  res.end()
}

/** An answer for a connection that is no HTTP connection (any more): a WebSocket upgrade, or bytes that are no request. */
export function rawAnswer(statusLine: string, errcode: Errcode, error: string): string {
  const body = JSON.stringify({ errcode, error })
  const cors = Object.entries(corsHeaders).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${statusLine}\r\n${cors.join('')}content-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`
}

/** The answer to what Node's parser refused. `code` is the parser's error code. */
export function parserRefusal(code: string | undefined): string {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return rawAnswer('431 Request Header Fields Too Large', 'M_TOO_LARGE', 'The request line and headers are too large')
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return rawAnswer('413 Payload Too Large', 'M_TOO_LARGE', 'The chunk extensions are too large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return rawAnswer('408 Request Timeout', 'M_UNKNOWN', 'The request took too long to arrive')
    default:
      return rawAnswer('400 Bad Request', 'M_UNKNOWN', 'Malformed HTTP request')
  }
}
