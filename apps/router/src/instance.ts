import type { ServingClass } from '@weft/http'

/**
 * `ready` takes requests; a `standby` writer waits for the lease; `draining` finishes what it has. Every other state is
 * announced as `starting`.
 */
export type InstanceState = 'starting' | 'ready' | 'standby' | 'draining'

/** A worker process as discovery announces it. */
export interface Instance {
  /** Unique for the life of the process, such as `sync-1a2b`. */
  readonly instance: string
  readonly class: ServingClass
  readonly host: string
  readonly port: number
  readonly state: InstanceState
  /** The writer's lease: of two that call themselves ready, the higher epoch is the writer. */
  readonly epoch?: number
}

/** Where the instances come from: announcements in Redis, or a DNS name. The list may be late, never wrong for long. */
export interface InstanceDirectory {
  instances(): readonly Instance[]
  /** Calls `listener` after each change until the returned function is called. */
  onChange(listener: () => void): () => void
}
