import { defineMetrics, durationBuckets, type Metrics } from '@weft/kernel'
import type { Stage } from './attempt.ts'
import type { Exchange, RetryReason } from './exchange.ts'
import type { Route } from './route.ts'
import type { Router, RouterLog, RouterObserver } from './router.ts'

export const routerMetrics = defineMetrics({
  requests: {
    type: 'counter',
    name: 'weft_router_requests_total',
    help: 'Requests passed on to workers, when they ended. Status 499: the client left before an answer began.',
    labels: ['class', 'endpoint', 'status'],
  },
  answeredHere: {
    type: 'counter',
    name: 'weft_router_own_answers_total',
    help: 'Requests that no worker saw: unknown paths, wrong methods, pre-flights, bodies too slow or too large, overload.',
    labels: ['status'],
  },
  upstream: {
    type: 'histogram',
    name: 'weft_router_upstream_seconds',
    help: 'From sending a request to a worker to the head of its answer. Those of sync include long polls.',
    labels: ['class'],
    buckets: [...durationBuckets, 30],
  },
  failures: {
    type: 'counter',
    name: 'weft_router_upstream_failures_total',
    help: 'Attempts that failed: unsent (no connection), sent (lost before an answer), answering (lost in the middle of it).',
    labels: ['class', 'stage'],
  },
  retried: {
    type: 'counter',
    name: 'weft_router_retries_total',
    help: 'Attempts that were followed by another: unsent, sent (idempotent ones), refused (the worker drains or is no active writer).',
    labels: ['class', 'reason'],
  },
  held: {
    type: 'counter',
    name: 'weft_router_held_total',
    help: 'Requests that had to wait for an instance of their class.',
    labels: ['class'],
  },
  holding: { type: 'gauge', name: 'weft_router_holding', help: 'Requests that wait for an instance of their class now.', labels: [] },
  holdingBytes: { type: 'gauge', name: 'weft_router_holding_bytes', help: 'Memory kept for them.', labels: [] },
  inFlight: { type: 'gauge', name: 'weft_router_in_flight', help: 'Requests between their head and the end of their answer.', labels: [] },
  instances: {
    type: 'gauge',
    name: 'weft_router_instances',
    help: 'Workers that this router knows. State lost: discovery lists them no more, and they are probed.',
    labels: ['class', 'state'],
  },
})

/** nginx's number for a request whose client left before its answer. */
const clientLeftStatus = 499

/**
 * Counts what passes. Counts that every request touches are kept in plain maps and read when Prometheus asks: a labelled
 * counter would cost each request a microsecond.
 */
export class CountedRequests implements RouterObserver {
  readonly #log: RouterLog
  readonly #ended = new Map<Route, Map<string, Map<number, number>>>()
  readonly #own = new Map<number, number>()
  readonly #instruments

  constructor(metrics: Metrics, log: RouterLog) {
    this.#log = log
    this.#instruments = metrics.use(routerMetrics)
    this.#instruments.requests.sample(() => this.#endedSamples())
    this.#instruments.answeredHere.sample(() => [...this.#own].map(([status, value]) => [{ status }, value] as const))
  }

  /** Shows what the router holds now. */
  watch(router: Router): void {
    const { holding, holdingBytes, inFlight, instances } = this.#instruments
    holding.sample(() => router.holding.requests)
    holdingBytes.sample(() => router.holding.bytes)
    inFlight.sample(() => router.inFlight)
    instances.sample(() => {
      const counts = new Map<string, readonly [{ class: string; state: string }, number]>()
      for (const known of router.instances()) {
        const state = known.lost ? 'lost' : known.state
        const key = `${known.class} ${state}`
        counts.set(key, [{ class: known.class, state }, (counts.get(key)?.[1] ?? 0) + 1])
      }
      return counts.values()
    })
  }

  ended({ route, servingClass }: Exchange, status: number): void {
    let classes = this.#ended.get(route)
    if (classes === undefined) {
      classes = new Map()
      this.#ended.set(route, classes)
    }
    let statuses = classes.get(servingClass)
    if (statuses === undefined) {
      statuses = new Map()
      classes.set(servingClass, statuses)
    }
    const counted = status === 0 ? clientLeftStatus : status
    statuses.set(counted, (statuses.get(counted) ?? 0) + 1)
  }

  answeredHere(status: number): void {
    this.#own.set(status, (this.#own.get(status) ?? 0) + 1)
  }

  retried({ servingClass }: Exchange, reason: RetryReason): void {
    this.#instruments.retried.inc({ class: servingClass, reason })
  }

  held({ servingClass }: Exchange): void {
    this.#instruments.held.inc({ class: servingClass })
  }

  upstream({ servingClass }: Exchange, ms: number): void {
    this.#instruments.upstream.observe({ class: servingClass }, ms / 1000)
  }

  upstreamFailed(exchange: Exchange, instance: { readonly id: string }, err: Error, stage: Stage): void {
    this.#instruments.failures.inc({ class: exchange.servingClass, stage })
    this.#log.debug(
      { requestId: exchange.requestId, endpoint: exchange.route.endpoint, instance: instance.id, stage, err },
      'a worker did not answer',
    )
  }

  *#endedSamples(): Iterable<readonly [{ class: string; endpoint: string; status: number }, number]> {
    for (const [route, classes] of this.#ended) {
      for (const [servingClass, statuses] of classes) {
        for (const [status, value] of statuses) yield [{ class: servingClass, endpoint: route.endpoint, status }, value]
      }
    }
  }
}
