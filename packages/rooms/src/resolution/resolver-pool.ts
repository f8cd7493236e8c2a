import { Worker } from 'node:worker_threads'
import type { Clock, Timer } from '@weft/kernel'
import type { ResolutionLimits } from '@weft/matrix'
import { type Connection, ConnectionLost } from '@weft/storage'
import { type Resolution, ResolutionExceeded, type ResolutionRequest, type Resolver } from './resolution.ts'
import type { FromThread, ThreadData, ToThread } from './thread-messages.ts'

export interface ResolverPoolOptions {
  readonly connection: Connection
  readonly applicationName: string
  readonly clock: Clock
  readonly limits?: ResolutionLimits
  /** Threads at most (default 4). One is enough until a room holds it for long. */
  readonly maxThreads?: number
  /** Old space of a thread, in megabytes: what a resolution may hold in memory. */
  readonly heapMb?: number
  /** How long a resolution may take, its waiting not counted. */
  readonly deadlineMs?: number
  /** After so long without work a thread is closed. */
  readonly idleMs?: number
  readonly metrics?: ResolverMetrics
}

export interface ResolverMetrics {
  resolved(outcome: 'resolved' | 'exceeded' | 'failed', seconds: number): void
}

/** About 200 MB each at the most: nodes are small, events come whole. */
const LIMITS: ResolutionLimits = { maxNodes: 300_000, maxEvents: 40_000 }
/** A resolution of this length no longer counts as one that others may wait for. */
const HEAVY_MS = 100
/** How long a thread has to come to a place where it can be cancelled. */
const CANCEL_GRACE_MS = 2000

interface Job {
  readonly id: number
  readonly request: ResolutionRequest
  readonly signal: AbortSignal | undefined
  readonly resolve: (resolution: Resolution) => void
  readonly reject: (error: unknown) => void
  readonly onAbort: () => void
}

interface Thread {
  readonly worker: Worker
  job: Job | undefined
  startedAt: number
  timer: Timer | undefined
}

/**
 * Resolves states in threads with a connection of their own, so that the event loop only names the states and takes the outcome.
 * Threads are opened when there is work and closed when there has been none for a while. A second one is opened once the first
 * has been held for long: a heavy room must not keep others waiting.
 */
export class ResolverPool implements Resolver {
  readonly #o: ResolverPoolOptions
  readonly #queue: Job[] = []
  readonly #threads = new Set<Thread>()
  #ids = 0
  #watch: Timer | undefined
  #closed: Error | undefined

  constructor(options: ResolverPoolOptions) {
    this.#o = options
  }

  get threads(): number {
    return this.#threads.size
  }

  /** Resolutions that wait for a thread. */
  get waiting(): number {
    return this.#queue.length
  }

  resolve(request: ResolutionRequest, signal?: AbortSignal): Promise<Resolution> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const job: Job = { id: ++this.#ids, request, signal, resolve, reject, onAbort: () => this.#cancel(job) }
      signal?.addEventListener('abort', job.onAbort, { once: true })
      this.#queue.push(job)
      this.#dispatch()
    })
  }

  /** Ends all threads; what they were at, and what comes, is refused with this error. */
  async close(error = new Error('the resolver is closed')): Promise<void> {
    this.#closed = error
    this.#watch?.cancel()
    for (const job of this.#queue.splice(0)) this.#settle(job, () => job.reject(error))
    await Promise.all([...this.#threads].map((thread) => this.#end(thread, error)))
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = [...this.#threads].find(({ job }) => job === undefined) ?? this.#open()
      if (thread === undefined) break
      this.#start(thread, this.#queue.shift() as Job)
    }
    this.#watch?.cancel()
    this.#watch = undefined
    // Somebody waits: one of the threads may be held for long by then.
    if (this.#queue.length > 0) this.#watch = this.#o.clock.setTimeout(() => this.#dispatch(), HEAVY_MS)
  }

  #open(): Thread | undefined {
    const now = this.#o.clock.monotonic()
    const heavy = [...this.#threads].filter(({ job, startedAt }) => job !== undefined && now - startedAt >= HEAVY_MS).length
    if (this.#threads.size > heavy || this.#threads.size >= (this.#o.maxThreads ?? 4)) return undefined
    const { connection, applicationName, limits = LIMITS, heapMb = 384 } = this.#o
    const workerData: ThreadData = { connection, applicationName: `${applicationName} resolver`, limits }
    const worker = new Worker(new URL('./resolver-thread.ts', import.meta.url), {
      workerData,
      name: 'resolver',
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
    })
    const thread: Thread = { worker, job: undefined, startedAt: 0, timer: undefined }
    worker.on('message', (message: FromThread) => this.#answered(thread, message))
    worker.on('error', (error: Error & { code?: string }) => {
      const outOfMemory = error.code === 'ERR_WORKER_OUT_OF_MEMORY'
      this.#lost(thread, outOfMemory ? new ResolutionExceeded(`the states take more than ${heapMb} MB to resolve`) : error)
    })
    worker.on('exit', () => this.#lost(thread, new Error('a resolver thread ended')))
    // It must not keep a process alive that has nothing else to do.
    worker.unref()
    this.#threads.add(thread)
    return thread
  }

  #start(thread: Thread, job: Job): void {
    const { clock, deadlineMs = 60_000 } = this.#o
    thread.job = job
    thread.startedAt = clock.monotonic()
    thread.timer?.cancel()
    thread.timer = clock.setTimeout(() => {
      void this.#end(thread, new ResolutionExceeded(`the states took more than ${deadlineMs} ms to resolve`))
    }, deadlineMs)
    thread.worker.ref()
    this.#send(thread, { kind: 'resolve', id: job.id, request: job.request })
  }

  #answered(thread: Thread, message: FromThread): void {
    const { job } = thread
    if (job?.id !== message.id) return
    this.#release(thread)
    if ('resolution' in message) this.#settle(job, () => job.resolve(message.resolution))
    else this.#settle(job, () => job.reject(revived(message.error, job.signal)))
    this.#count(thread, 'resolution' in message ? 'resolved' : message.error.name === 'ResolutionExceeded' ? 'exceeded' : 'failed')
    this.#dispatch()
  }

  /** The thread has nothing to do: it stays for a while. */
  #release(thread: Thread): void {
    thread.job = undefined
    thread.timer?.cancel()
    thread.worker.unref()
    const { clock, idleMs = 30_000 } = this.#o
    thread.timer = clock.setTimeout(() => void this.#end(thread, new Error('a resolver thread was closed')), idleMs)
  }

  #cancel(job: Job): void {
    const queued = this.#queue.indexOf(job)
    if (queued !== -1) {
      this.#queue.splice(queued, 1)
      this.#settle(job, () => job.reject(job.signal?.reason))
      return
    }
    const thread = [...this.#threads].find((candidate) => candidate.job === job)
    if (thread === undefined) return
    this.#send(thread, { kind: 'cancel', id: job.id })
    thread.timer?.cancel()
    // A step of the arithmetic cannot be interrupted but by ending the thread.
    thread.timer = this.#o.clock.setTimeout(() => void this.#end(thread, job.signal?.reason), CANCEL_GRACE_MS)
  }

  async #end(thread: Thread, error: unknown): Promise<void> {
    this.#lost(thread, error)
    await thread.worker.terminate()
  }

  #lost(thread: Thread, error: unknown): void {
    if (!this.#threads.delete(thread)) return
    thread.timer?.cancel()
    const { job } = thread
    if (job !== undefined) {
      this.#count(thread, error instanceof ResolutionExceeded ? 'exceeded' : 'failed')
      this.#settle(job, () => job.reject(error))
    }
    if (this.#closed === undefined) this.#dispatch()
  }

  #settle(job: Job, how: () => void): void {
    job.signal?.removeEventListener('abort', job.onAbort)
    how()
  }

  #send(thread: Thread, message: ToThread): void {
    thread.worker.postMessage(message)
  }

  #count(thread: Thread, outcome: 'resolved' | 'exceeded' | 'failed'): void {
    this.#o.metrics?.resolved(outcome, (this.#o.clock.monotonic() - thread.startedAt) / 1000)
  }
}

function revived({ name, message }: { name: string; message: string }, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason
  if (name === 'ResolutionExceeded') return new ResolutionExceeded(message)
  return name === 'ConnectionLost' ? new ConnectionLost(message) : new Error(message)
}
