import { registry } from '@weft/api'
import { addressOf, BucketRateLimiter, Door, endpointLimits } from '@weft/http'
import type { Compose, ProcessContext } from '@weft/kernel'
import { type Backplane, isUnavailable, type Presence, redisBackplane } from '@weft/replication'
import { openDatabase } from '@weft/storage'
import { openSync } from './sync.ts'

export { openSync, type SyncPart } from './sync.ts'

/** A sync process of its own; any number of them serve the same requests. */
export const compose: Compose = async (context) => {
  const { config, clock, log, metrics } = context
  if (config.redis === undefined)
    throw new Error('a sync process of its own follows the writer through Redis: set `redis` in the configuration')
  await composeSync(context, await redisBackplane({ url: config.redis.url, serverName: config.server_name, clock, log, metrics }))
}

/** The same over a backplane that is given to it, and is stopped with it. */
export async function composeSync(context: ProcessContext, backplane: Backplane): Promise<void> {
  const { config, lifecycle, instance } = context
  const db = openDatabase(context)
  lifecycle.onStop('PostgreSQL', () => db.close())
  lifecycle.onStop('backplane', () => backplane.stop())
  const door = new Door(context)
  const port = await door.listen({ host: config.process.bind_address, port: config.process.port, xForwarded: false })
  let presence: Presence | undefined = backplane.discovery.announce({
    instance,
    class: 'sync',
    address: addressOf(context, port),
    state: 'starting',
  })
  lifecycle.onStop('announcement', async () => {
    await presence?.withdraw()
    presence = undefined
  })
  const sync = await openSync(context, { db, backplane, presence: () => presence, isIdle: () => door.idle })
  lifecycle.onStop('sync', () => sync.stop())
  door.open({
    registry,
    services: { sync: sync.services },
    authenticator: sync.authenticator,
    onAuthenticated: sync.onAuthenticated,
    onArrival: sync.onArrival,
    rateLimiter: new BucketRateLimiter(backplane.ephemeral, endpointLimits(config)),
    edge: { trustedSecret: config.internal_secret },
    isUnavailable,
  })
  lifecycle.onStop('HTTP server', () => door.stop())
  lifecycle.onStop('draining', async () => {
    presence?.update({ state: 'draining' })
    await door.farewell()
  })
  presence.update({ state: 'ready' })
  lifecycle.setReady(true)
}
