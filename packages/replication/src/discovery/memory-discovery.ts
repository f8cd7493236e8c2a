import type { ProcessClass } from '../stream.ts'
import type { Discovery, Instance, Presence } from './discovery.ts'

/** The classes of one process find each other here: one object, which all of them are given. */
export class MemoryDiscovery implements Discovery {
  readonly #instances = new Map<string, Instance>()
  readonly #listeners = new Set<() => void>()

  async start(): Promise<void> {}

  announce(instance: Instance): Presence {
    const { instance: name } = instance
    this.#instances.set(name, instance)
    this.#changed()
    return {
      update: (change) => {
        const before = this.#instances.get(name)
        if (before === undefined) return
        this.#instances.set(name, { ...before, ...change })
        if (change.state !== undefined || change.address !== undefined) this.#changed()
      },
      withdraw: async () => {
        if (this.#instances.delete(name)) this.#changed()
      },
    }
  }

  list(of?: ProcessClass): readonly Instance[] {
    return [...this.#instances.values()].filter((instance) => of === undefined || instance.class === of)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async stop(): Promise<void> {
    this.#listeners.clear()
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
