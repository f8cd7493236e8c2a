import type { Clock, Instruments } from '@weft/kernel'
import type { Signer } from '@weft/matrix'
import { type Database, EventGraphReader, type RoomsReader, type StateReader } from '@weft/storage'
import type { CommitLoop } from '../commit-loop.ts'
import type { FirstFormat } from '../first-format.ts'
import type { HeadCache } from '../head-cache.ts'
import type { IdSource } from '../ids.ts'
import type { roomMetrics } from '../metrics.ts'
import { ResolverPool, type ResolverPoolOptions } from '../resolution/resolver-pool.ts'
import { RECEIVE_LIMITS, type RoomLimits } from '../room-limits.ts'
import type { StateKeys } from '../state-keys.ts'
import { ForkMerger } from './fork-merger.ts'
import { ForkedSends } from './forked-sends.ts'
import { GroupStates } from './group-states.ts'
import { Receiver } from './receiver.ts'
import type { KeyLookup } from './signatures.ts'

export interface ReceivingOptions {
  readonly db: Database
  readonly clock: Clock
  readonly signer: Signer
  readonly serverName: string
  /** The name by which PostgreSQL knows the process. */
  readonly applicationName: string
  readonly keys: KeyLookup
  readonly heads: HeadCache
  readonly loop: CommitLoop
  readonly rooms: RoomsReader
  readonly state: StateReader
  readonly stateKeys: StateKeys
  readonly firstFormat: FirstFormat
  readonly eventNids: IdSource
  readonly stateGroups: IdSource
  readonly roomNids: IdSource
  readonly figures: Instruments<typeof roomMetrics>
  /** Default {@link RECEIVE_LIMITS}. */
  readonly roomLimits?: RoomLimits
  /** How much a resolution may take. */
  readonly resolution?: Pick<ResolverPoolOptions, 'limits' | 'heapMb' | 'deadlineMs'>
}

/** What forks: events of other servers, and what this server sends where forks are many. */
export interface Receiving {
  readonly receiver: Receiver
  readonly resolver: ResolverPool
  readonly forks: ForkedSends
  readonly groupStates: GroupStates
  /** Gives up what is being resolved. */
  close(reason?: Error): Promise<void>
}

/** Chains of the forks of lately. */
const GROUP_STATES_BYTES = 16 * 1024 * 1024

/** Composes the way of events that do not simply stand on what is here. */
export function openReceiving(options: ReceivingOptions): Receiving {
  const { db, clock, figures } = options
  const stopping = new AbortController()
  const resolver = new ResolverPool({
    connection: db.connection,
    applicationName: options.applicationName,
    clock,
    ...options.resolution,
    metrics: {
      resolved(outcome, seconds) {
        figures.resolutions.inc({ outcome })
        figures.resolutionSeconds.observe(seconds)
      },
    },
  })
  const graph = new EventGraphReader(db)
  const groupStates = new GroupStates(options.state, GROUP_STATES_BYTES)
  const now = () => clock.now()
  const { roomLimits = RECEIVE_LIMITS } = options
  const tools = { ...options, graph, groupStates, resolver, roomLimits, signal: stopping.signal, now }
  const receiver = new Receiver({
    ...tools,
    merger: new ForkMerger(tools),
    metrics: { received: (outcome) => figures.received.inc({ outcome }) },
  })
  const figuresEnd = [figures.resolverThreads.sample(() => resolver.threads), figures.receiving.sample(() => receiver.waiting)]
  return {
    receiver,
    resolver,
    forks: new ForkedSends(tools),
    groupStates,
    async close(reason = new Error('the process stops')) {
      for (const end of figuresEnd) end()
      stopping.abort(reason)
      await resolver.close(reason)
    },
  }
}
