import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, Server as NetServer } from 'node:net'
import type { Edge } from '@weft/http'
import { listenError } from '@weft/kernel'
import { parserRefusal, rawAnswer } from './replies.ts'

/** What stands behind the door. */
export interface Doorkeeper {
  request(req: IncomingMessage, res: ServerResponse, edge: Edge): void
  upgradeRefused(): void
}

/** A public listener. `edge` says whom it believes about clients' addresses, `headersMs` how long a head may take. */
export class FrontDoor {
  readonly #server: Server

  constructor(keeper: Doorkeeper, edge: Edge, headersMs: number) {
    // Uploads of many minutes are allowed; a small body has its own limit, and a connection without traffic ends.
    this.#server = createServer({
      requestTimeout: 3_600_000,
      headersTimeout: headersMs,
      connectionsCheckingInterval: Math.min(5000, headersMs),
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16 * 1024,
      noDelay: true,
    })
    this.#server.timeout = 300_000
    this.#server.on('request', (req, res) => keeper.request(req, res, edge))
    this.#server.on('upgrade', (_req, socket) => {
      socket.on('error', () => socket.destroy())
      socket.end(rawAnswer('404 Not Found', 'M_UNRECOGNIZED', 'Unrecognized request'))
      keeper.upgradeRefused()
    })
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
      else socket.end(parserRefusal(error.code))
    })
  }

  /**
   * Listens; resolves with the port once connections are accepted.
   * @param ipv6Only leaves IPv4 on the same port to another door
   */
  listen(port: number, host: string, ipv6Only = false): Promise<number> {
    return new Promise((resolve, reject) => {
      const refuse = (error: Error) => reject(listenError(error, { host, port, setting: '`listeners` or `process.port`' }))
      this.#server.once('error', refuse)
      this.#server.listen({ port, host, ipv6Only, backlog: 1024 }, () => {
        this.#server.off('error', refuse)
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  /**
   * Stops accepting; resolves once the last connection has ended. Idle ones stay for now: closing one at the moment its
   * client sends costs that request, so a client that is active is told by `Connection: close` instead.
   */
  stopAccepting(): Promise<void> {
    // http.Server.close would close idle connections at once.
    return new Promise((resolve) => NetServer.prototype.close.call(this.#server, () => resolve()))
  }

  closeIdle(): void {
    this.#server.closeIdleConnections()
  }

  closeAll(): void {
    this.#server.closeAllConnections()
  }
}
