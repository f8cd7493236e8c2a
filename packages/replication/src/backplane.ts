import type { Clock, Metrics } from '@weft/kernel'
import type { Announcer, ReplicationLog, ReplicationObserver } from './announcer.ts'
import { type AckBus, MemoryAckBus, RedisAckBus } from './discovery/acks.ts'
import type { Discovery } from './discovery/discovery.ts'
import { MemoryDiscovery } from './discovery/memory-discovery.ts'
import { RedisDiscovery } from './discovery/redis-discovery.ts'
import type { EphemeralStore } from './ephemeral/ephemeral-store.ts'
import { MemoryEphemeralStore } from './ephemeral/memory-store.ts'
import { RedisEphemeralStore } from './ephemeral/redis-store.ts'
import { LocalAnnouncer } from './local-announcer.ts'
import { replicationObserver } from './metrics.ts'
import { RedisConnections } from './redis.ts'
import { RedisAnnouncer } from './redis-announcer.ts'

/** All that the processes of a server say to each other outside PostgreSQL. Losing any of it costs latency only. */
export interface Backplane {
  readonly announcer: Announcer
  readonly ephemeral: EphemeralStore
  readonly discovery: Discovery
  readonly acks: AckBus
  readonly observer: ReplicationObserver
  stop(): Promise<void>
}

interface BackplaneOptions {
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: ReplicationLog
}

/** The backplane of processes of their own. Resolves also while Redis is away. */
export async function redisBackplane(
  options: BackplaneOptions & { readonly url: string; readonly serverName: string },
): Promise<Backplane> {
  const { clock, log, serverName } = options
  const redis = new RedisConnections({ url: options.url, log })
  const observer = replicationObserver(options.metrics)
  const announcer = new RedisAnnouncer({ redis, serverName, clock, log, observer })
  const ephemeral = new RedisEphemeralStore({ redis, serverName, clock })
  const discovery = new RedisDiscovery({ redis, serverName, clock, log })
  const acks = new RedisAckBus({ redis, serverName, log })
  await discovery.start()
  return {
    announcer,
    ephemeral,
    discovery,
    acks,
    observer,
    async stop() {
      await acks.stop()
      await discovery.stop()
      await ephemeral.stop()
      await announcer.stop()
      redis.stop()
    },
  }
}

/** The backplane of classes that share one process. */
export function localBackplane(options: BackplaneOptions): Backplane {
  const observer = replicationObserver(options.metrics)
  const announcer = new LocalAnnouncer({ observer })
  const ephemeral = new MemoryEphemeralStore(options)
  const discovery = new MemoryDiscovery()
  const acks = new MemoryAckBus()
  return {
    announcer,
    ephemeral,
    discovery,
    acks,
    observer,
    async stop() {
      await acks.stop()
      await discovery.stop()
      await ephemeral.stop()
      await announcer.stop()
    },
  }
}
