import type { InFlight } from './in-flight.ts'
import { AnswerCounts, type HttpMetrics } from './observe.ts'
import { WaitingRequests } from './request.ts'

/**
 * What a process has to do with requests, whoever answers them: a writer that steps down and becomes the writer again mounts its
 * endpoints anew, and neither counts its requests twice nor listens twice for the end.
 */
export class Traffic {
  readonly inFlight: InFlight
  readonly metrics: HttpMetrics
  /** Aborted when this process starts to drain. */
  readonly draining: AbortSignal
  readonly answers = new AnswerCounts()
  readonly waiting: WaitingRequests

  /** @param inFlight shared with {@link HttpServer}, which waits for it when it stops */
  constructor({ inFlight, metrics, draining }: { inFlight: InFlight; metrics: HttpMetrics; draining: AbortSignal }) {
    this.inFlight = inFlight
    this.metrics = metrics
    this.draining = draining
    this.waiting = new WaitingRequests(draining)
    metrics.inFlight.sample(() => inFlight.count)
    metrics.requests.sample(() => this.answers.read())
  }
}
