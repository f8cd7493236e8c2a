import { registry } from '@weft/api'
import { addressOf, BucketRateLimiter, Door, endpointLimits } from '@weft/http'
import type { Compose, ProcessContext } from '@weft/kernel'
import type { LocalSigner } from '@weft/matrix'
import { type Backplane, isUnavailable, redisBackplane, WriterLease } from '@weft/replication'
import type { KeyLookup } from '@weft/rooms'
import { type Database, openDatabase } from '@weft/storage'
import { loadSigner } from './signing-key.ts'
import { type ActiveWriter, activate } from './writer.ts'

export { loadSigner } from './signing-key.ts'
export type { ActiveWriter } from './writer.ts'

/** What a writer stands on. */
export interface WriterParts {
  readonly db: Database
  readonly backplane: Backplane
  readonly signer: LocalSigner
  /** The public keys of servers; without it this server's own are the only ones it knows. */
  readonly keys?: KeyLookup
}

/** The writer as a process of its own: standby until the lease is its own, then the one process that writes. */
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

/** The writer's part in a process: waits for the lease, becomes the writer, ends the process when the lease is lost. */
export function runWriter(
  context: ProcessContext,
  parts: WriterParts & { readonly onActive: (writer: ActiveWriter) => void },
): { readonly active: Promise<ActiveWriter>; stop(): Promise<void> } {
  const { config, clock, log, lifecycle, instance } = context
  const { db, backplane, signer, keys } = parts
  const standingBy = new AbortController()
  let writer: ActiveWriter | undefined
  const active = (async () => {
    const acquiring = new WriterLease({ db, name: 'writer', applicationName: `weft ${instance}`, clock, log })
    const lease = await acquiring.acquire(standingBy.signal)
    lease.lost.addEventListener('abort', () => lifecycle.fail(lease.lost.reason))
    try {
      writer = await activate(context, { db, databaseUrl: config.database?.url ?? '', backplane, lease, signer, keys })
    } catch (error) {
      await lease.release()
      throw error
    }
    parts.onActive(writer)
    return writer
  })()
  active.catch((error) => {
    if (!standingBy.signal.aborted) lifecycle.fail(error)
  })
  return {
    active,
    async stop() {
      standingBy.abort(new Error('the process stops'))
      await active.catch(() => undefined)
      await writer?.stop()
    },
  }
}
