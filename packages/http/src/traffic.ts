import type { InFlight } from './in-flight.ts'
import { AnswerCounts, type HttpMetrics } from './observe.ts'
import { WaitingRequests } from './request.ts'
import { UnreadAnswers } from './unread-answers.ts'

const UNREAD_AT_MOST = 256 * 1024 * 1024

interface TrafficOptions {
  /** Shared with {@link HttpServer}, which waits for it when it stops. */
  readonly inFlight: InFlight
  readonly metrics: HttpMetrics
  readonly draining: AbortSignal
  /** Characters of answers that clients have not read, at most; 256 Mi when left out. */
  readonly unreadAtMost?: number
}

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
  readonly unread: UnreadAnswers

  constructor({ inFlight, metrics, draining, unreadAtMost = UNREAD_AT_MOST }: TrafficOptions) {
    this.inFlight = inFlight
    this.metrics = metrics
    this.draining = draining
    this.waiting = new WaitingRequests(draining)
    this.unread = new UnreadAnswers(unreadAtMost)
    metrics.inFlight.sample(() => inFlight.count)
    metrics.requests.sample(() => this.answers.read())
  }
}
