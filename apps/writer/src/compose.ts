import { registry } from '@weft/api'
import { addressOf, BucketRateLimiter, Door, endpointLimits } from '@weft/http'
import type { Compose, ProcessContext } from '@weft/kernel'
import { isUnavailable, redisBackplane } from '@weft/replication'
import { openDatabase } from '@weft/storage'
import { runWriter, type WriterParts } from './role.ts'
import { loadSigner } from './signing-key.ts'
import type { ActiveWriter } from './writer.ts'

export { runWriter, type WriterParts } from './role.ts'
export { loadSigner } from './signing-key.ts'
export type { ActiveWriter } from './writer.ts'

/** The writer as a process of its own: standby until the lease is its own, then the one process that writes, and standby again without it. */
export const compose: Compose = async (context) => {
  const { config, clock, log, metrics } = context
  if (config.redis === undefined) throw new Error('a writer of its own announces through Redis: set `redis` in the configuration')
  await composeWriter(context, {
    db: openDatabase(context),
    backplane: await redisBackplane({ url: config.redis.url, serverName: config.server_name, clock, log, metrics }),
    signer: await loadSigner(config),
  })
}

/** The same over parts that are given to it, and are stopped with it. @returns the writer that it is to become */
export async function composeWriter(context: ProcessContext, parts: WriterParts): Promise<{ readonly active: Promise<ActiveWriter> }> {
  const { config, lifecycle, instance } = context
  const { db, backplane } = parts
  lifecycle.onStop('PostgreSQL', () => db.close())
  lifecycle.onStop('backplane', () => backplane.stop())
  const door = new Door(context)
  const port = await door.listen({ host: config.process.bind_address, port: config.process.port, xForwarded: false })
  const address = addressOf(context, port)
  const presence = backplane.discovery.announce({ instance, class: 'writer', address, state: 'standby' })
  const role = runWriter(context, {
    ...parts,
    onActive(writer) {
      door.open({
        registry,
        services: { writer: writer.services },
        authenticator: writer.authenticator,
        onAuthenticated: writer.onAuthenticated,
        rateLimiter: new BucketRateLimiter(backplane.ephemeral, endpointLimits(config)),
        edge: { trustedSecret: config.internal_secret },
        isUnavailable,
      })
      presence.update({ state: 'ready', epoch: writer.epoch })
    },
    onStandby() {
      door.close('writer')
      presence.update({ state: 'standby' })
    },
  })
  lifecycle.onStop('announcement', () => presence.withdraw())
  lifecycle.onStop('writer', () => role.stop())
  lifecycle.onStop('HTTP server', () => door.stop())
  lifecycle.onStop('draining', async () => {
    presence.update({ state: 'draining' })
    await door.farewell()
  })
  // A standby is as ready as it can be: a rollout that waited for it to become the writer would never end.
  lifecycle.setReady(true)
  return { active: role.active }
}
