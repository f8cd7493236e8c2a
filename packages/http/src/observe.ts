import { defineMetrics, durationBuckets, type Instruments } from '@weft/kernel'

/** Where log lines go; the kernel's logger is one. */
export interface HttpLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What the edge counts. Labels are endpoint ids and status codes: nothing that a client chooses. */
export const httpMetrics = defineMetrics({
  requests: {
    type: 'counter',
    name: 'weft_http_requests_total',
    help: 'Requests answered, by endpoint and status; 499: the client left before its answer.',
    labels: ['endpoint', 'status'],
  },
  duration: {
    type: 'histogram',
    name: 'weft_http_request_duration_seconds',
    help: 'From the head of a request to the end of its answer. Long polls take as long as they wait.',
    labels: ['endpoint'],
    buckets: durationBuckets,
  },
  shed: {
    type: 'counter',
    name: 'weft_http_requests_shed_total',
    help: 'Requests refused with 503 because the process was full.',
    labels: [],
  },
  inFlight: {
    type: 'gauge',
    name: 'weft_http_requests_in_flight',
    help: 'Requests being answered, long polls included.',
    labels: [],
  },
})

/** Instruments of {@link httpMetrics}. */
export type HttpMetrics = Instruments<typeof httpMetrics>

/** The endpoint label of what matched none. */
export const NO_ENDPOINT = 'none'

/** The one line that is logged of a request. `ms` is from its head to the end of the answer. */
export interface AccessLine {
  readonly requestId: string
  readonly method: string
  readonly endpoint: string
  /** Without query; tokens that were put into the path are cut out. */
  readonly path: string
  readonly status: number
  readonly ms: number
  readonly bytes: number
  readonly user: string | undefined
  readonly ip: string
  readonly userAgent: string
}

const MAX_LOGGED = 300

/** A path fit for a log: bounded, and without anything that looks like an access token (R34). */
export function loggablePath(path: string): string {
  return withoutTokens(path.length > MAX_LOGGED ? `${path.slice(0, MAX_LOGGED)}…` : path)
}

/** A User-Agent fit for a log: bounded, and without anything that looks like an access token (R34). */
export function loggableUserAgent(userAgent: string): string {
  return withoutTokens(userAgent.length > MAX_LOGGED ? userAgent.slice(0, MAX_LOGGED) : userAgent)
}

function withoutTokens(text: string): string {
  if (!/wft|token/i.test(text)) return text
  return text.replace(/wft(?:_|%5f)[A-Za-z0-9_%-]+/gi, '<redacted>').replace(/(access(?:_|%5f)token)[^/]*/gi, '$1<redacted>')
}

/**
 * Answers by endpoint and status, counted here and read when the metrics are: an increment of a labelled counter costs a hash of its
 * labels, a tenth of what a small request costs in all.
 */
export class AnswerCounts {
  readonly #counts = new Map<string, Map<number, number>>()

  add(endpoint: string, status: number): void {
    let counts = this.#counts.get(endpoint)
    if (counts === undefined) {
      counts = new Map()
      this.#counts.set(endpoint, counts)
    }
    counts.set(status, (counts.get(status) ?? 0) + 1)
  }

  *read(): Generator<readonly [labels: { endpoint: string; status: number }, value: number]> {
    for (const [endpoint, counts] of this.#counts) {
      for (const [status, count] of counts) yield [{ endpoint, status }, count]
    }
  }
}
