import { defineMetrics, type Metrics } from '@weft/kernel'
import type { HttpMetrics } from './observe.ts'

/** What every process that answers requests counts. */
export const httpMetrics = defineMetrics({
  requests: { type: 'counter', name: 'weft_http_requests_total', help: 'Requests answered', labels: ['endpoint', 'status'] },
  duration: {
    type: 'histogram',
    name: 'weft_http_request_duration_seconds',
    help: "From the request's head to the end of its answer; long polls include their wait",
    labels: ['endpoint'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  shed: {
    type: 'counter',
    name: 'weft_http_requests_shed_total',
    help: 'Requests refused with 503 because the process was full',
    labels: [],
  },
  inFlight: { type: 'gauge', name: 'weft_http_requests_in_flight', help: 'Requests being answered, long polls included', labels: [] },
})

/** The instruments of a process for its mount. */
export function countHttp(metrics: Metrics): HttpMetrics {
  const { requests, duration, shed, inFlight } = metrics.use(httpMetrics)
  return {
    requests,
    duration,
    shed,
    inFlight,
  }
}
