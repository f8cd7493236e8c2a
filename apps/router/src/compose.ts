import { registry } from '@weft/api'
import type { Compose, ProcessContext } from '@weft/kernel'
import { RedisConnections, RedisDiscovery } from '@weft/replication'
import { composeRouter } from './assemble.ts'
import { defaultLimits, type RouterLimits } from './router.ts'

export { composeRouter } from './assemble.ts'
export { routerMetrics } from './metrics.ts'

/** The router: doors for clients, discovery of workers, nothing else. It opens neither PostgreSQL nor a stream. */
export const compose: Compose = (context) => composeWithLimits(context, {})

/** The same with other limits than the default ones. */
export async function composeWithLimits(context: ProcessContext, limits: Partial<RouterLimits>): Promise<void> {
  const { config, log, clock, lifecycle } = context
  if (config.redis === undefined) throw new Error('a router finds its workers through Redis: set `redis` in the configuration')
  const redis = new RedisConnections({ url: config.redis.url, log })
  lifecycle.onStop('Redis', () => redis.stop())
  const discovery = new RedisDiscovery({ redis, serverName: config.server_name, clock, log })
  lifecycle.onStop('discovery', () => discovery.stop())
  await discovery.start()
  await composeRouter(context, registry, discovery, { ...defaultLimits, ...limits })
}
