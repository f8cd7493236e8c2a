import { Agent, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Stream } from 'node:stream'
import httpProxy from 'http-proxy'
import { type Attempt, type AttemptListener, ClientLeft, type Stage } from './attempt.ts'

/**
 * Stands for the client's request body until the connection to the instance is there: a refused connection then has
 * taken nothing from the client, and the request can go elsewhere.
 */
class HeldBody extends Stream {
  readonly #req: IncomingMessage
  #destination: NodeJS.WritableStream | undefined

  constructor(req: IncomingMessage) {
    super()
    this.#req = req
  }

  override pipe<T extends NodeJS.WritableStream>(destination: T): T {
    this.#destination = destination
    return destination
  }

  open(): void {
    if (this.#destination !== undefined) this.#req.pipe(this.#destination)
  }

  /** The worker has answered before it read all: the rest of the body is thrown away as it arrives. */
  abandon(): void {
    if (this.#destination !== undefined) this.#req.unpipe(this.#destination)
    this.#req.resume()
  }
}

/** Sends requests whose bodies do not fit in memory, in either direction, by http-proxy over kept-alive connections. */
export class StreamedRequests {
  readonly #agent = new Agent({ keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 64, timeout: 0 })
  readonly #proxy = httpProxy.createProxyServer({})
  readonly #attempts = new WeakMap<IncomingMessage, StreamedAttempt>()

  constructor() {
    this.#proxy.on('proxyReq', (upstream, req, _res, _options, socket) => this.#attempts.get(req)?.opened(upstream, socket))
    this.#proxy.on('proxyRes', (answer, req) => this.#attempts.get(req)?.answered(answer))
    // Told when the client's connection broke; its close event has cancelled the attempt.
    this.#proxy.on('econnreset', () => {})
  }

  /** @param headers names and values alternating, Content-Length left out: it is the request's own */
  send(
    target: { readonly host: string; readonly port: number },
    req: IncomingMessage,
    res: ServerResponse,
    headers: readonly string[],
    listener: AttemptListener,
  ): Attempt {
    const length = req.headers['content-length']
    const attempt = new StreamedAttempt(req, res, listener)
    this.#attempts.set(req, attempt)
    // http-proxy sends what `req.headers` holds.
    req.headers = asObject(headers, length)
    try {
      this.#proxy.web(
        req,
        res,
        {
          target: { host: target.host, port: target.port, protocol: 'http:' },
          agent: this.#agent,
          // The path goes on byte for byte; http-proxy would otherwise resolve `..` in it.
          toProxy: true,
          selfHandleResponse: true,
          connectTimeout: 1_500,
          proxyTimeout: 240_000,
          buffer: attempt.body,
        },
        (error) => attempt.broke(error),
      )
    } catch (error) {
      // node:http throws for what it will not send, such as characters that the parser let pass.
      attempt.broke(error instanceof Error ? error : new Error(String(error)))
    }
    return attempt
  }

  close(): void {
    this.#agent.destroy()
  }
}

class StreamedAttempt implements Attempt {
  readonly body: HeldBody
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #listener: AttemptListener
  #upstream: ClientRequest | undefined
  #stage: Stage = 'unsent'
  #over = false
  #cancelled: Error | undefined

  constructor(req: IncomingMessage, res: ServerResponse, listener: AttemptListener) {
    this.#req = req
    this.#res = res
    this.#listener = listener
    this.body = new HeldBody(req)
  }

  abandon(reason: Error): void {
    this.#upstream?.destroy(reason)
    this.broke(reason)
  }

  cancel(): void {
    this.#over = true
    this.#cancelled = new ClientLeft()
    // http-proxy 1 left the upstream open here, and abandoned long polls hung (PLATFORM.md).
    this.#upstream?.destroy(this.#cancelled)
  }

  opened(upstream: ClientRequest, socket: Socket): void {
    this.#upstream = upstream
    if (this.#cancelled !== undefined) {
      upstream.destroy(this.#cancelled)
      return
    }
    const start = (): void => {
      if (this.#over) return
      this.#stage = 'sent'
      this.body.open()
    }
    if (socket.connecting) socket.once('connect', start)
    else start()
  }

  answered(answer: IncomingMessage): void {
    if (this.#over) {
      answer.resume()
      return
    }
    const head = this.#listener.head(answer.statusCode ?? 502, answer.headers)
    if (head === undefined) {
      this.#over = true
      this.body.abandon()
      answer.resume()
      return
    }
    this.#stage = 'answering'
    if (!this.#req.complete) this.body.abandon()
    this.#res.writeHead(answer.statusCode ?? 502, head)
    answer.on('error', (error) => this.broke(error))
    answer.on('aborted', () => this.broke(new Error('the worker broke off its answer')))
    answer.on('end', () => {
      if (this.#over || !answer.complete) return
      this.#over = true
      this.#listener.finished()
    })
    answer.pipe(this.#res)
  }

  broke(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#listener.failed(error, this.#stage)
  }
}

function asObject(headers: readonly string[], contentLength: string | undefined): IncomingMessage['headers'] {
  const object: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    const value = headers[i + 1]!
    const before = object[name]
    if (before === undefined) object[name] = value
    else if (Array.isArray(before)) before.push(value)
    else object[name] = [before, value]
  }
  if (contentLength !== undefined) object['content-length'] = contentLength
  return object
}
