import http from 'node:http'
import net from 'node:net'

/** A request that is wrong in one way, and what the answer must be. */
export interface MalformedRequest {
  /** What is wrong: `body.name: number`. */
  readonly name: string
  readonly send: MalformedHttp | MalformedBytes
  readonly expect: Expectation
}

export interface MalformedHttp {
  readonly method: string
  /** As it stands in the request line, with the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Whether the sender adds a valid access token. */
  readonly authenticated: boolean
}

/** What no HTTP client would send: written to a connection as it is. */
export interface MalformedBytes {
  readonly bytes: string
}

/** Absent: the input may mean something, so any answer will do that is in the form of the specification and below 500. */
export interface Expectation {
  readonly status?: number
  readonly errcodes?: readonly string[]
}

export interface MalformedAnswer {
  readonly status: number
  readonly contentType: string | undefined
  readonly text: string
}

export interface MalformedTarget {
  readonly host: string
  readonly port: number
  /** A token that is valid when it is asked for: an endpoint may have ended the last one. */
  readonly accessToken: () => string | Promise<string>
}

/** Tries of a request whose connection broke while its body was on its way. */
const MAX_TRIES = 5

/**
 * Sends a malformed request on a connection of its own. A server need not read a body that it refuses, and its answer may be lost with
 * the connection: then the request is sent again.
 * @throws Error when the server gives no answer
 */
export async function sendMalformed(target: MalformedTarget, request: MalformedRequest): Promise<MalformedAnswer> {
  const { send } = request
  if ('bytes' in send) return sendBytes(target, send.bytes)
  for (let tries = 1; ; tries++) {
    try {
      return await sendHttp(target, send)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (send.body === undefined || tries === MAX_TRIES || (code !== 'EPIPE' && code !== 'ECONNRESET')) throw error
    }
  }
}

async function sendHttp(target: MalformedTarget, send: MalformedHttp): Promise<MalformedAnswer> {
  const { method, path, body, authenticated } = send
  const headers: Record<string, string> = { ...send.headers }
  if (authenticated) headers.authorization = `Bearer ${await target.accessToken()}`
  if (body !== undefined && headers['transfer-encoding'] === undefined) headers['content-length'] = String(Buffer.byteLength(body))
  const { promise, resolve, reject } = Promise.withResolvers<MalformedAnswer>()
  const outgoing = http.request({ host: target.host, port: target.port, method, path, headers, agent: false }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject)
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, contentType: response.headers['content-type'], text: Buffer.concat(chunks).toString() })
    })
  })
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}

async function sendBytes(target: MalformedTarget, bytes: string): Promise<MalformedAnswer> {
  const socket = net.connect(target.port, target.host)
  socket.write(bytes, 'latin1')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  const answer = Buffer.concat(chunks).toString()
  const split = answer.indexOf('\r\n\r\n')
  const contentType = /^content-type: *(.*)\r$/im.exec(answer.slice(0, split + 1))?.[1]
  return { status: Number(answer.slice(9, 12)), contentType, text: answer.slice(split + 4) }
}

/** What is wrong with an answer; undefined when it is as the specification has it. */
export function faultOf(request: MalformedRequest, answer: MalformedAnswer): string | undefined {
  const { status, errcodes } = request.expect
  const shown = `${answer.status} ${answer.text.slice(0, 200)}`
  if (!(answer.status >= 200 && answer.status < 500)) return `answered ${shown}`
  if (status !== undefined && answer.status !== status) return `answered ${shown}, not ${status}`
  if (answer.status < 400) return undefined
  if (answer.contentType !== 'application/json') return `answered ${shown} as ${answer.contentType}`
  const body = parseObject(answer.text)
  if (body === undefined) return `answered ${shown}, which is no JSON object`
  if (answer.status === 401 && Array.isArray(body.flows) && errcodes === undefined) return undefined
  if (typeof body.errcode !== 'string' || typeof body.error !== 'string') return `answered ${shown}, without errcode and error`
  return errcodes === undefined || errcodes.includes(body.errcode) ? undefined : `answered ${shown}, not ${errcodes.join(' or ')}`
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
