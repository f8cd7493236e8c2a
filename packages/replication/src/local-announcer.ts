import { bytesOf, encodeEntry, type OutgoingEntry, type WireEntry } from './announcement.ts'
import type { Announcer, Follower, Following, ReplicationObserver } from './announcer.ts'

/** A follower that is stuck (its database is gone) holds at most this much; what is dropped is a gap to it. */
const largestQueueBytes = 16 * 1024 * 1024

/** Announcements within one process: asynchronous, and through the same serialised form as over Redis. */
export class LocalAnnouncer implements Announcer {
  readonly #queues = new Set<LocalQueue>()
  readonly #observer: ReplicationObserver

  constructor(options: { readonly observer: ReplicationObserver }) {
    this.#observer = options.observer
  }

  publish(entry: OutgoingEntry): void {
    const wire = encodeEntry(entry)
    const bytes = bytesOf(wire)
    this.#observer.published(1, bytes)
    for (const queue of this.#queues) queue.push(wire, bytes)
  }

  async follow(follower: Follower): Promise<Following> {
    const queue = new LocalQueue(follower, this.#observer)
    this.#queues.add(queue)
    return {
      begin: () => queue.begin(),
      attend: () => undefined,
      stop: async () => {
        this.#queues.delete(queue)
        await queue.stop()
      },
    }
  }

  async stop(): Promise<void> {
    const queues = [...this.#queues]
    this.#queues.clear()
    await Promise.all(queues.map((queue) => queue.stop()))
  }
}

class LocalQueue {
  readonly #follower: Follower
  readonly #observer: ReplicationObserver
  #entries: { readonly wire: WireEntry; readonly bytes: number }[] = []
  #bytes = 0
  #begun = false
  #stopped = false
  #draining: Promise<void> | undefined

  constructor(follower: Follower, observer: ReplicationObserver) {
    this.#follower = follower
    this.#observer = observer
  }

  push(wire: WireEntry, bytes: number): void {
    if (this.#bytes + bytes > largestQueueBytes) {
      this.#observer.dropped('queue')
      return
    }
    this.#entries.push({ wire, bytes })
    this.#bytes += bytes
    this.#schedule()
  }

  begin(): void {
    this.#begun = true
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#entries = []
    await this.#draining
  }

  #schedule(): void {
    if (!this.#begun || this.#stopped || this.#draining !== undefined || this.#entries.length === 0) return
    this.#draining = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#drain())
      .finally(() => {
        this.#draining = undefined
        this.#schedule()
      })
  }

  async #drain(): Promise<void> {
    const entries = this.#entries
    this.#entries = []
    for (const { wire, bytes } of entries) {
      this.#bytes -= bytes
      if (this.#stopped) continue
      this.#observer.received(bytes)
      const applied = this.#follower.apply(wire)
      if (applied !== undefined) await applied
    }
  }
}
