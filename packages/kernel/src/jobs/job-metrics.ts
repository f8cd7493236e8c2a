import { defineMetrics } from '../metrics/definitions.ts'

/** What background jobs count. */
export const jobMetrics = defineMetrics({
  finished: {
    type: 'counter',
    name: 'weft_jobs_finished_total',
    help: 'Background jobs that ended, by name and outcome (done, failed, stopped).',
    labels: ['name', 'outcome'],
  },
  seconds: {
    type: 'histogram',
    name: 'weft_job_duration_seconds',
    help: 'How long background jobs ran.',
    labels: ['name'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300],
  },
})
