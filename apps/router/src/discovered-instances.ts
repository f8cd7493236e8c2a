import type { Discovery } from '@weft/replication'
import type { Instance, InstanceDirectory } from './instance.ts'

/** Discovery as the router wants it: only the classes that answer requests, with their addresses taken apart. */
export class DiscoveredInstances implements InstanceDirectory {
  readonly #discovery: Pick<Discovery, 'list' | 'onChange'>

  constructor(discovery: Pick<Discovery, 'list' | 'onChange'>) {
    this.#discovery = discovery
  }

  instances(): readonly Instance[] {
    const instances: Instance[] = []
    for (const { instance, class: announcedClass, address, state, epoch } of this.#discovery.list()) {
      if (announcedClass !== 'writer' && announcedClass !== 'sync' && announcedClass !== 'media') continue
      const url = URL.parse(address)
      // An instance that still starts has no address yet.
      if (url === null || url.protocol !== 'http:') continue
      const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
      instances.push({ instance, class: announcedClass, host, port: Number(url.port || 80), state, ...(epoch !== undefined && { epoch }) })
    }
    return instances
  }

  onChange(listener: () => void): () => void {
    return this.#discovery.onChange(listener)
  }
}
