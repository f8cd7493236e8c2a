import { z } from 'zod'
import type { ProcessClass } from '../stream.ts'

/** `standby` is a writer that waits for the lease; only `ready` instances get requests. */
export const instanceStates = ['starting', 'ready', 'standby', 'draining'] as const
/** One of {@link instanceStates}. */
export type InstanceState = (typeof instanceStates)[number]

const classes = ['router', 'writer', 'sync', 'federation-sender', 'media', 'pusher'] as const satisfies readonly ProcessClass[]

/** One process of a class, as it announces itself. */
export const instanceSchema = z.object({
  /** Unique among all processes: `sync-1a2b`. */
  instance: z.string().min(1).max(128),
  class: z.enum(classes),
  /** Where it answers requests: `http://10.0.0.7:8101`. */
  address: z.string().max(512),
  state: z.enum(instanceStates),
  /** Of an active writer: of two that call themselves ready, the higher one is the writer. */
  epoch: z.int().min(0).optional(),
  /** How far it came in streams that want acknowledgements. */
  positions: z.record(z.string(), z.int().min(0)).optional(),
})
/** An instance as others see it. */
export type Instance = z.infer<typeof instanceSchema>

/** An instance that stays announced until it is withdrawn, or its process dies. */
export interface Presence {
  /** A new state or address is seen by others within some 50 ms; positions travel with the next beat. */
  update(change: Partial<Pick<Instance, 'state' | 'address' | 'epoch' | 'positions'>>): void
  withdraw(): Promise<void>
}

/** Which processes there are. When its medium is away, what was last known stands: whoever uses it probes. */
export interface Discovery {
  /** Begins to watch; resolves once the instances of now are known, or cannot be. */
  start(): Promise<void>
  announce(instance: Instance): Presence
  /** Live instances, of one class or all. */
  list(of?: ProcessClass): readonly Instance[]
  /** Calls `listener` whenever an instance came, went, or changed its state or address; returns how to stop that. */
  onChange(listener: () => void): () => void
  stop(): Promise<void>
}
