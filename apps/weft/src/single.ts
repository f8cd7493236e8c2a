import { dirname, resolve } from 'node:path'
import { registry } from '@weft/api'
import { openSync } from '@weft/app-sync'
import { loadSigner, runWriter } from '@weft/app-writer'
import { BucketRateLimiter, Door, endpointLimits } from '@weft/http'
import { type Compose, type Config, OperatorError, type ProcessContext, partContext, runProcess } from '@weft/kernel'
import { type Backplane, isUnavailable, localBackplane } from '@weft/replication'
import { openDatabase } from '@weft/storage'
import { startEmbeddedDatabase } from './embedded-database.ts'
import { sayHowToBegin } from './say.ts'
import { migrateUrl } from './schema.ts'
import { Supervised } from './supervised.ts'

/** All classes in one process, with an embedded PostgreSQL unless another is configured. Never returns. */
export async function startSingle(path: string): Promise<never> {
  const compose: Compose = async (context) => {
    const { config } = context
    let { database } = config
    if (database === undefined) {
      database = { url: await keepEmbeddedDatabase(resolve(dirname(path), config.data_dir), context), pool_size: 10 }
    }
    await migrateUrl(database.url)
    await composeSingle({ ...context, config: { ...config, database } }, localBackplane(context))
    sayHowToBegin(config)
  }
  return runProcess('single', compose, { configPath: path, requires: ['internal_secret', 'signing_key'] })
}

/** Starts PostgreSQL, and starts it again whenever it ends. @returns where it is, which stays the same */
async function keepEmbeddedDatabase(dataDir: string, { lifecycle, log }: ProcessContext): Promise<string> {
  let url = ''
  const launch = async () => {
    const embedded = await startEmbeddedDatabase(dataDir, log)
    url = embedded.url
    return embedded.server
  }
  const postgres = new Supervised({ name: 'postgres', launch, log, onChange: () => undefined })
  const started = postgres.start()
  // Registered before it runs: who presses Ctrl-C meanwhile leaves no server behind.
  lifecycle.onStop('embedded PostgreSQL', async () => {
    await started.catch(() => undefined)
    await postgres.stop()
  })
  await started
  return url
}

/** The same classes as behind a router, with one HTTP server for all of them. The backplane is stopped with it. */
export async function composeSingle(context: ProcessContext, backplane: Backplane): Promise<void> {
  const { config, log, lifecycle } = context
  const db = openDatabase(context)
  lifecycle.onStop('PostgreSQL connections', () => db.close())
  lifecycle.onStop('backplane', () => backplane.stop())
  const syncContext = partContext(context, 'sync')
  const presence = backplane.discovery.announce({ instance: syncContext.instance, class: 'sync', address: '', state: 'ready' })
  const sync = await openSync(syncContext, { db, backplane, presence: () => presence })
  lifecycle.onStop('sync', () => sync.stop())
  const door = new Door(context)
  const writerContext = partContext(context, 'writer')
  const role = runWriter(writerContext, {
    db,
    backplane,
    signer: await loadSigner(config),
    onActive(writer) {
      door.open({
        registry,
        services: { writer: writer.services, sync: sync.services },
        authenticator: writer.authenticator,
        onAuthenticated: writer.onAuthenticated,
        rateLimiter: new BucketRateLimiter(backplane.ephemeral, endpointLimits(config)),
        edge: { xForwarded: config.listeners.some((listener) => listener.x_forwarded), trustedProxies: config.trusted_proxies },
        isUnavailable,
      })
      writerContext.lifecycle.setReady(true)
    },
    onStandby() {
      door.close('writer')
      writerContext.lifecycle.setReady(false)
    },
  })
  lifecycle.onStop('writer', () => role.stop())
  lifecycle.onStop('HTTP server', () => door.stop())
  await role.active
  await listen(door, config, log)
  for (const part of [syncContext.lifecycle, lifecycle]) part.setReady(true)
}

async function listen(door: Door, config: Config, log: ProcessContext['log']): Promise<void> {
  for (const listener of config.listeners.filter((candidate) => candidate.type === 'http')) {
    let open = 0
    for (const host of listener.bind_addresses) {
      try {
        await door.listen({ host, port: listener.port, xForwarded: listener.x_forwarded })
        open++
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        // A machine without IPv6 still has the listener's other address.
        if ((code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') || listener.bind_addresses.length === 1) throw error
        log.warn({ host, port: listener.port }, 'this address does not exist here')
      }
    }
    if (open === 0) throw new OperatorError(`none of the addresses of the listener on port ${listener.port} exists on this machine`)
  }
}
