import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { listenError } from '@weft/kernel'
import { corsHeaders } from './cors.ts'
import type { InFlight } from './in-flight.ts'
import type { HttpLog } from './observe.ts'

/** Whom a server hands its requests to, and how patient it is. */
export interface HttpServerOptions {
  readonly listener: (request: IncomingMessage, response: ServerResponse) => void
  /** The one that the endpoints were mounted with: stopping waits for it. */
  readonly inFlight: InFlight
  readonly log: HttpLog
  /** Milliseconds for a request's head to arrive: what a slow-loris has (R32). Default 15 s. */
  readonly headersTimeoutMs?: number
  /** Milliseconds for a whole request to arrive, body included. Default 60 s; processes that take uploads want more. */
  readonly requestTimeoutMs?: number
  /** How long an idle connection is kept: longer than the router keeps its own, so that it is the router who closes. Default 75 s. */
  readonly keepAliveMs?: number
  readonly maxConnections?: number
}

/** A listening HTTP server with bounded patience, which stops gracefully. */
export class HttpServer {
  readonly #server: Server
  readonly #inFlight: InFlight
  readonly #log: HttpLog
  /** The latest answer on each connection: an error must not be written into the middle of one. */
  readonly #answers = new WeakMap<Socket, ServerResponse>()
  readonly #connections = new Set<Socket>()

  constructor(options: HttpServerOptions) {
    this.#inFlight = options.inFlight
    this.#log = options.log
    this.#server = createServer(
      {
        headersTimeout: options.headersTimeoutMs ?? 15_000,
        requestTimeout: options.requestTimeoutMs ?? 60_000,
        keepAliveTimeout: options.keepAliveMs ?? 75_000,
        connectionsCheckingInterval: Math.min(5000, options.headersTimeoutMs ?? 15_000),
        maxHeaderSize: 16 * 1024,
        noDelay: true,
      },
      (request, response) => {
        this.#answers.set(request.socket, response)
        options.listener(request, response)
      },
    )
    if (options.maxConnections !== undefined) this.#server.maxConnections = options.maxConnections
    this.#server.on('connection', (socket: Socket) => {
      this.#connections.add(socket)
      socket.once('close', () => this.#connections.delete(socket))
    })
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
      refuseConnection(error, socket as Socket, this.#answers.get(socket as Socket)),
    )
  }

  /** Starts to listen. @throws Error with the address in its message when it is taken or not ours */
  async listen(port: number, host = '127.0.0.1'): Promise<{ readonly host: string; readonly port: number }> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const refuse = (error: Error) => reject(listenError(error, { host, port, setting: '`listeners` or `process.port`' }))
    this.#server.once('error', refuse)
    this.#server.listen({ port, host, backlog: 1024 }, resolve)
    await promise
    this.#server.off('error', refuse)
    this.#server.on('error', (error) => this.#log.error({ err: error }, 'HTTP server failed'))
    return { host, port: (this.#server.address() as AddressInfo).port }
  }

  /**
   * Stops accepting, lets what is in flight finish, and closes what is still open after `deadlineMs`. Whoever calls it has aborted
   * the `draining` signal before, so long polls answer early and answers say `Connection: close`.
   */
  async stop(deadlineMs: number): Promise<void> {
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.#closeIdle()
    const { promise: deadline, resolve: expire } = Promise.withResolvers<void>()
    const timer = setTimeout(expire, deadlineMs)
    await Promise.race([this.#inFlight.idle(), deadline])
    this.#closeIdle()
    await Promise.race([closed, deadline])
    clearTimeout(timer)
    this.#server.closeAllConnections()
    await closed
  }

  /** Node's own closeIdleConnections spares those that never sent a request. */
  #closeIdle(): void {
    for (const socket of this.#connections) {
      const answer = this.#answers.get(socket)
      if (answer === undefined || answer.writableFinished) socket.destroySoon()
    }
  }
}

/** Answers what is no HTTP request in the form of every other error, and closes. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket, answer: ServerResponse | undefined): void {
  const midway = answer?.headersSent === true && !answer.writableFinished
  if (error.code === 'ECONNRESET' || !socket.writable || midway) {
    socket.destroy()
    return
  }
  const [status, errcode, message] = refusals.get(error.code ?? '') ?? ['400 Bad Request', 'M_UNKNOWN', 'Malformed HTTP request']
  const body = JSON.stringify({ errcode, error: message })
  const headers = {
    ...corsHeaders,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  }
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status}\r\n${head.join('')}\r\n${body}`)
}

const refusals: ReadonlyMap<string, readonly [status: string, errcode: string, message: string]> = new Map([
  ['HPE_HEADER_OVERFLOW', ['431 Request Header Fields Too Large', 'M_TOO_LARGE', 'The request line and headers are too large']],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', ['413 Payload Too Large', 'M_TOO_LARGE', 'The chunk extensions are too large']],
  ['ERR_HTTP_REQUEST_TIMEOUT', ['408 Request Timeout', 'M_UNKNOWN', 'The request took too long to arrive']],
])
