import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ProcessContext, pause, type Timer } from '@weft/kernel'
import express from 'express'
import { corsHeaders } from './cors.ts'
import type { ServingClass } from './endpoint.ts'
import { InFlight } from './in-flight.ts'
import { type Mounted, type MountOptions, mountEndpoints } from './mount.ts'
import { httpMetrics } from './observe.ts'
import { HttpServer } from './server.ts'
import { Traffic } from './traffic.ts'

/** Headers of a 503 by which a router knows that nothing was done, and that another instance may do it. */
export const notActiveHeader = 'x-weft-not-active'
export const drainingHeader = 'x-weft-draining'

const MAX_IN_FLIGHT = 20_000
/** Left of the shutdown deadline for what stops after the door. */
const CLOSING_MS = 3000
/** Discovery's nudge takes some 50 ms. */
const FAREWELL_MS = 250
/** What is still unanswered so long after a class has closed waits for something that may never come. */
const ABANDON_MS = 2000

/** Where a process listens. `xForwarded`: the listener of that name's setting. */
export interface DoorAddress {
  readonly host: string
  readonly port: number
  readonly xForwarded: boolean
}

/**
 * The HTTP side of a process: listens from the start, refuses with 503 until it is opened, and then answers from the registry.
 * Whoever composes the process stops it before everything that handlers use.
 */
export class Door {
  readonly #context: ProcessContext
  readonly #traffic: Traffic
  readonly #servers: HttpServer[] = []
  #mounted: Mounted | undefined
  #abandoning: Timer | undefined
  #answer: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) => refuse(response, notActiveHeader)

  constructor(context: ProcessContext) {
    this.#context = context
    const { metrics, lifecycle } = context
    this.#traffic = new Traffic({
      inFlight: new InFlight(MAX_IN_FLIGHT),
      metrics: metrics.use(httpMetrics),
      draining: lifecycle.draining,
    })
  }

  /** True while no request is being answered. */
  get idle(): boolean {
    return this.#traffic.inFlight.count === 0
  }

  /** Listens; returns the port, which an address with port 0 leaves to the system. */
  async listen(address: DoorAddress): Promise<number> {
    const server = new HttpServer({
      listener: (request, response) => this.#answer(request, response),
      inFlight: this.#traffic.inFlight,
      log: this.#context.log,
    })
    const { port } = await server.listen(address.port, address.host)
    this.#servers.push(server)
    return port
  }

  /** Begins to answer. */
  open(
    options: Pick<
      MountOptions,
      'registry' | 'services' | 'authenticator' | 'rateLimiter' | 'edge' | 'isUnavailable' | 'onAuthenticated' | 'onArrival'
    >,
  ): void {
    const { log, clock } = this.#context
    const app = express()
    app.disable('x-powered-by')
    app.disable('etag')
    this.#mounted = mountEndpoints(app, {
      ...options,
      log,
      clock,
      traffic: this.#traffic,
    })
    this.#answer = app
  }

  /**
   * Refuses again: this process is not, or not any more, the one to ask.
   * @param served the class that it is no more: what this has not answered soon is answered 503
   */
  close(served: ServingClass): void {
    this.#answer = (_request, response) => refuse(response, notActiveHeader)
    const mounted = this.#mounted
    this.#abandoning?.cancel()
    this.#abandoning = this.#context.clock.setTimeout(() => mounted?.abandon(served), ABANDON_MS)
  }

  /**
   * Waits until routers have heard that this process drains: an idle connection that is closed while a request crosses it would
   * cost that request.
   */
  async farewell(): Promise<void> {
    await pause(this.#context.clock, FAREWELL_MS)
  }

  /** Stops accepting and lets what is in flight finish, within the process's deadline. */
  async stop(): Promise<void> {
    const deadline = Math.max(0, this.#context.config.process.shutdown_deadline - CLOSING_MS)
    await Promise.all(this.#servers.map((server) => server.stop(deadline)))
    this.#abandoning?.cancel()
  }
}

function refuse(response: ServerResponse, header: string): void {
  const body = '{"errcode":"M_UNKNOWN","error":"This process does not serve requests now; try again"}'
  response.writeHead(503, {
    ...corsHeaders,
    'content-type': 'application/json',
    'content-length': String(body.length),
    'retry-after': '1',
    [header]: '1',
  })
  response.end(body)
}

/** Where routers reach a process that listens on this port. */
export function addressOf({ config }: ProcessContext, port: number): string {
  const host = config.process.advertise_address ?? config.process.bind_address
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
