import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ProcessLifecycle } from './lifecycle.ts'
import type { Metrics } from './metrics/metrics.ts'
import { listenError } from './operator-error.ts'

export interface HealthServerOptions {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  readonly lifecycle: ProcessLifecycle
  readonly metrics: Metrics
}

/** The listening health server; `port` is the one that it got. */
export interface HealthServer {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

/**
 * /health: the event loop turns. /ready: every part can serve, and the process does not drain. /metrics: for Prometheus.
 * A door of its own, so that it is never reachable by clients and stays open while the process drains.
 */
export async function startHealthServer({ host, port, lifecycle, metrics }: HealthServerOptions): Promise<HealthServer> {
  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000, maxHeaderSize: 8192 },
    (request, response) => {
      answer(request, response, lifecycle, metrics).catch((error: unknown) => {
        if (response.headersSent) response.destroy()
        else reply(response, 500, { error: error instanceof Error ? error.message : String(error) })
      })
    },
  )
  await listen(server, host, port)
  return {
    host,
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, lifecycle: ProcessLifecycle, metrics: Metrics): Promise<void> {
  const path = request.url?.split('?', 1)[0]
  if (path !== '/health' && path !== '/ready' && path !== '/metrics')
    return reply(response, 404, { error: 'there are /health, /ready and /metrics' })
  if (request.method !== 'GET' && request.method !== 'HEAD') return reply(response, 405, { error: 'GET only' }, { allow: 'GET, HEAD' })
  if (path === '/health') return reply(response, 200, { status: 'ok' })
  if (path === '/ready') {
    const status = lifecycle.ready ? 'ready' : lifecycle.draining.aborted ? 'draining' : 'starting'
    return reply(response, lifecycle.ready ? 200 : 503, { status, parts: Object.fromEntries(lifecycle.parts) })
  }
  const text = await metrics.text()
  response.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' })
  response.end(text)
}

function reply(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers })
  response.end(JSON.stringify(body))
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: Error) => reject(listenError(error, { host, port, setting: '`process.health_port`, or the `metrics` listener' }))
    server.once('error', refuse)
    server.listen(port, host, () => {
      server.off('error', refuse)
      resolve()
    })
  })
}
