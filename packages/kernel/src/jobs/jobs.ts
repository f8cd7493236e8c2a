import type { JobProgress, PostgresConnectionOptions, PostgresQueueBackend, Queue, Worker } from 'bullmq'
import type { Clock } from '../clock.ts'
import type { Logger } from '../log/logger.ts'
import type { Instruments, Metrics } from '../metrics/metrics.ts'
import { jobMetrics } from './job-metrics.ts'
import { steadyBackend } from './steady-connection.ts'

/** JSON that a job carries: ids to look up, never the work itself. */
export type JobData = Readonly<Record<string, unknown>>

/** One run of a job, as its handler gets it. */
export interface JobRun<Data extends JobData = JobData> {
  readonly data: Data
  /** Aborted when the process drains: stop after the current batch and throw `signal.reason`; the job is run again later. */
  readonly signal: AbortSignal
  /** 1 for the first try. */
  readonly attempt: number
}

/** Does the work and resolves when it is done; a handler that throws is run again, later each time. */
export type JobHandler<Data extends JobData = JobData> = (run: JobRun<Data>) => Promise<void>

/** How a job is asked for. */
export interface EnqueueOptions {
  /** With a key, one waiting job is enough: a second is dropped while one waits, and kept for afterwards while one runs. */
  readonly dedupeKey?: string
}

/** What {@link Jobs} stands on. */
export interface JobsOptions {
  /** `postgresql://` of our database. BullMQ keeps a schema of its own there. */
  readonly url: string
  readonly log: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  /** The schema, made when missing. */
  readonly schema?: string
  /** Prefix of the names of the connections. */
  readonly applicationName?: string
}

type PostgresQueue = Queue<JobData, unknown, string, JobData, unknown, string, PostgresQueueBackend, PostgresConnectionOptions>
type PostgresWorker = Worker<JobData, unknown, string, PostgresQueueBackend, JobProgress, PostgresConnectionOptions>

interface Definition {
  readonly handler: JobHandler
  readonly everyMs: number | undefined
}

const QUEUE = 'weft'
/** Of the queue, and of the runner. */
const CONNECTIONS = 2
const JOBS_AT_ONCE = 2
/** After a process died, its jobs are taken up again within twice this time. */
const LOCK_MS = 30_000
const ATTEMPTS = 20
const FIRST_RETRY_MS = 1000
const LAST_RETRY_MS = 10 * 60_000
const FAILED_JOBS_KEPT = { age: 7 * 24 * 3600, count: 1000 }

/**
 * Work that is done in the background and survives a restart, over BullMQ's PostgreSQL backend. A job is a doorbell over rows of our own
 * tables: it may ring twice, and what there is to do stands in the rows. Only the active writer runs jobs. BullMQ is imported when
 * jobs start, since it costs a process 20 MB.
 */
export class Jobs {
  readonly #options: JobsOptions
  readonly #log: Logger
  readonly #instruments: Instruments<typeof jobMetrics>
  readonly #definitions = new Map<string, Definition>()
  readonly #stopping = new AbortController()
  #queue: Promise<PostgresQueue> | undefined
  #worker: PostgresWorker | undefined

  constructor(options: JobsOptions) {
    this.#options = options
    this.#log = options.log
    this.#instruments = options.metrics.use(jobMetrics)
  }

  /** Says what a job of this name does. All definitions come before `start`. */
  define<Data extends JobData>(name: string, handler: JobHandler<Data>): void {
    this.#add(name, { handler: handler as JobHandler, everyMs: undefined })
  }

  /** Runs the handler every `ms`, one process at a time, for the first time soon after `start`. */
  every(name: string, ms: number, handler: JobHandler): void {
    this.#add(name, { handler, everyMs: ms })
  }

  /**
   * Asks for a job. It is stored when this returns. It runs at least once; a handler that throws is tried again, later each time.
   * Needs no `start`: another process may run it.
   */
  async enqueue(name: string, data: JobData, { dedupeKey }: EnqueueOptions = {}): Promise<void> {
    const add = async (): Promise<unknown> =>
      (await this.#openQueue()).add(
        name,
        data,
        dedupeKey === undefined ? {} : { deduplication: { id: `${name}:${dedupeKey}`, keepLastIfActive: true } },
      )
    // A connection that was lost while idle is noticed only when it is used, and each of the pool may be. Should a try that failed
    // have come through all the same, the bell rings twice.
    for (let lost = 0; ; lost++) {
      try {
        await add()
        return
      } catch (err) {
        if (lost === CONNECTIONS) throw err
        this.#log.warn({ err, job: name }, 'asking for a job failed: trying once more')
      }
    }
  }

  /** Begins to run jobs. Schedules that are no longer defined are taken away. Where it fails, it may be tried again. */
  async start(): Promise<void> {
    if (this.#worker) throw new Error('jobs run already')
    const queue = await this.#openQueue()
    for (const scheduler of await queue.getJobSchedulers()) {
      if (this.#definitions.get(scheduler.key)?.everyMs === undefined) await queue.removeJobScheduler(scheduler.key)
    }
    for (const [name, { everyMs }] of this.#definitions) {
      if (everyMs !== undefined) await queue.upsertJobScheduler(name, { every: everyMs }, { name, opts: { attempts: 1 } })
    }
    const { Worker, backend } = await importBullMQ()
    const worker = new Worker(
      QUEUE,
      (job) => this.#run(job.name, job.data as JobData, job.attemptsMade + 1),
      {
        connection: this.#connection(),
        concurrency: JOBS_AT_ONCE,
        lockDuration: LOCK_MS,
        stalledInterval: LOCK_MS,
        // A job whose process was killed is no bad job: it may be taken up again as often as a failed one.
        maxStalledCount: ATTEMPTS,
        settings: { backoffStrategy: retryDelay },
        autorun: false,
      },
      backend,
    )
    worker.on('error', (err) => this.#log.warn({ err }, 'jobs are interrupted'))
    worker.on('failed', (job, err) => {
      if (this.#stopping.signal.aborted) this.#log.debug({ job: job?.name }, 'job stopped: it is run again later')
      else this.#log.warn({ err, job: job?.name, attempt: job?.attemptsMade }, 'job failed')
    })
    this.#worker = worker
    try {
      await worker.waitUntilReady()
    } catch (err) {
      this.#worker = undefined
      await worker.close()
      throw err
    }
    worker.run().catch((err: unknown) => this.#log.error({ err }, 'jobs ended'))
  }

  /** Ends: tells running handlers, waits for them, closes the connections. */
  async stop(): Promise<void> {
    this.#stopping.abort(new DOMException('the process drains', 'AbortError'))
    await this.#worker?.close()
    this.#worker = undefined
    const queue = await this.#queue
    this.#queue = undefined
    await queue?.close()
  }

  async #run(name: string, data: JobData, attempt: number): Promise<void> {
    const definition = this.#definitions.get(name)
    if (!definition) throw new Error(`no job ${name} is defined in this release`)
    const started = this.#options.clock.monotonic()
    const signal = this.#stopping.signal
    let outcome = 'done'
    try {
      await definition.handler({ data, signal, attempt })
    } catch (error) {
      outcome = signal.aborted ? 'stopped' : 'failed'
      throw error
    } finally {
      this.#instruments.finished.inc({ name, outcome })
      this.#instruments.seconds.observe({ name }, (this.#options.clock.monotonic() - started) / 1000)
    }
  }

  #add(name: string, definition: Definition): void {
    if (this.#definitions.has(name)) throw new Error(`job ${name} is defined twice`)
    if (this.#worker) throw new Error(`job ${name} is defined after the start`)
    this.#definitions.set(name, definition)
  }

  #openQueue(): Promise<PostgresQueue> {
    this.#queue ??= this.#makeQueue().catch((error: unknown) => {
      this.#queue = undefined
      throw error
    })
    return this.#queue
  }

  async #makeQueue(): Promise<PostgresQueue> {
    const { Queue, backend } = await importBullMQ()
    const queue = new Queue(
      QUEUE,
      {
        connection: this.#connection(),
        defaultJobOptions: {
          attempts: ATTEMPTS,
          backoff: { type: 'custom' },
          removeOnComplete: true,
          removeOnFail: FAILED_JOBS_KEPT,
        },
      },
      backend,
    )
    queue.on('error', (err) => this.#log.warn({ err }, 'the queue of jobs is interrupted'))
    try {
      await queue.waitUntilReady()
    } catch (err) {
      await queue.close()
      throw err
    }
    return queue
  }

  /** Few connections, closed when idle: each costs PostgreSQL several MB. */
  #connection() {
    const { url, schema = 'bullmq', applicationName = 'weft' } = this.#options
    return {
      connectionString: url,
      schema,
      migrate: true,
      max: CONNECTIONS,
      idleTimeoutMillis: 10_000,
      connectionTimeoutMillis: 5_000,
      application_name: `${applicationName} jobs`,
    }
  }
}

async function importBullMQ() {
  const [bullmq, { default: pg }] = await Promise.all([import('bullmq'), import('pg')])
  return { Queue: bullmq.Queue, Worker: bullmq.Worker, backend: steadyBackend(bullmq, pg) }
}

/** Twice as long each time, up to ten minutes, and up to a half less so that jobs that failed together part. */
function retryDelay(attemptsMade: number): number {
  return Math.round(Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (attemptsMade - 1)) * (1 - Math.random() / 2))
}
