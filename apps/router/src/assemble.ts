import { Edge } from '@weft/http'
import type { Config, ProcessContext } from '@weft/kernel'
import type { Discovery } from '@weft/replication'
import { DiscoveredInstances } from './discovered-instances.ts'
import { httpProbe } from './lost-instances.ts'
import { CountedRequests } from './metrics.ts'
import { type EndpointRegistry, RegistryRoutes } from './route.ts'
import { defaultLimits, Router, type RouterLimits } from './router.ts'

/** Left of the shutdown deadline for closing connections and leaving discovery, in ms. */
const closingMs = 2_000

/** The router over a discovery that is given to it. */
export async function composeRouter(
  context: ProcessContext,
  registry: EndpointRegistry,
  discovery: Discovery,
  limits: RouterLimits = defaultLimits,
): Promise<Router> {
  const { config, log, clock, lifecycle, metrics, instance } = context
  if (config.internal_secret === undefined) throw new Error('a router needs `internal_secret`')
  const counted = new CountedRequests(metrics, log)
  const router = new Router({
    routes: new RegistryRoutes(registry),
    directory: new DiscoveredInstances(discovery),
    secret: config.internal_secret,
    limits,
    clock,
    log,
    observer: counted,
    probe: httpProbe,
  })
  counted.watch(router)
  lifecycle.onStop('connections', () => router.close())
  const address = await openDoors(router, context)
  const presence = discovery.announce({ instance, class: 'router', address, state: 'ready' })
  lifecycle.onStop('announcement', () => presence.withdraw())
  lifecycle.onStop('requests in flight', async () => {
    presence.update({ state: 'draining' })
    await router.drain(Math.max(0, config.process.shutdown_deadline - closingMs))
  })
  lifecycle.setReady(true)
  return router
}

/** Opens the `http` listeners of the configuration; returns the URL of the first. */
async function openDoors(router: Router, { config, log }: ProcessContext): Promise<string> {
  let first: string | undefined
  for (const door of doorsOf(config)) {
    const edge = new Edge({ xForwarded: door.xForwarded, trustedProxies: config.trusted_proxies })
    let { port } = door
    let open = 0
    for (const host of door.hosts) {
      try {
        // Two addresses of a listener with port 0 share the port that the first one got.
        port = await router.listen(port, host, edge, host === '::' && door.hosts.includes('0.0.0.0'))
      } catch (err) {
        // A machine without IPv6 still has the listener's other address.
        if (!isMissingAddress(err) || door.hosts.length === 1) throw err
        log.warn({ host, port }, 'this address does not exist here')
        continue
      }
      open++
      const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
      first ??= url
      log.info({ url }, 'router listens')
    }
    if (open === 0) throw new Error(`none of the addresses ${door.hosts.join(', ')} exists on this machine`)
  }
  if (first === undefined) throw new Error('the configuration has no listener of type http')
  return first
}

/** `process.port`, given to one process, replaces the port of the first listener: several routers share a machine so. */
function doorsOf(config: Config): { readonly port: number; readonly hosts: readonly string[]; readonly xForwarded: boolean }[] {
  return config.listeners
    .filter((listener) => listener.type === 'http')
    .map((listener, index) => ({
      port: index === 0 && config.process.port !== 0 ? config.process.port : listener.port,
      hosts: listener.bind_addresses,
      xForwarded: listener.x_forwarded,
    }))
}

function isMissingAddress(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT')
}
