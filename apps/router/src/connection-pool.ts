import { type buildConnector, Client } from 'undici'

/** Keep-alive connections that rest; more are closed when they come back. */
const maxIdle = 256
/** Longest wait for the head of an answer, in ms: longer than any long poll that a worker grants. */
const headersTimeoutMs = 240_000
const bodyTimeoutMs = 120_000

/**
 * Connections to one instance, one request on each at a time. undici's own Pool finds a free connection by scanning all
 * of them, which with thousands of long polls costs more than the request; here the free ones are a stack, and the most
 * recently used goes first, so that the others may time out.
 */
export class ConnectionPool {
  readonly #idle: Client[] = []
  readonly #busy = new Set<Client>()
  readonly #origin: string
  readonly #connect: buildConnector.connector
  #closed = false

  /** @param origin `http://host:port` */
  constructor(origin: string, connect: buildConnector.connector) {
    this.#origin = origin
    this.#connect = connect
  }

  take(): Client {
    const client =
      this.#idle.pop() ??
      new Client(this.#origin, {
        connect: this.#connect,
        pipelining: 1,
        allowH2: false,
        keepAliveTimeout: 4_000,
        headersTimeout: headersTimeoutMs,
        bodyTimeout: bodyTimeoutMs,
      })
    this.#busy.add(client)
    return client
  }

  /** Gives a connection back once its request has ended well. */
  giveBack(client: Client): void {
    if (!this.#busy.delete(client)) return
    if (this.#closed || this.#idle.length >= maxIdle) void client.close()
    else this.#idle.push(client)
  }

  /** Ends a connection whose request failed: used again from inside the failure, undici's client asserts and takes the process along. */
  discard(client: Client): void {
    this.#busy.delete(client)
    void client.destroy()
  }

  /** Closes what rests at once, and the others as they come back. */
  close(): void {
    this.#closed = true
    for (const client of this.#idle.splice(0)) void client.close()
  }
}
