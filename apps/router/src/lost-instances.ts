import { request } from 'node:http'
import type { KnownInstance } from './instance-book.ts'

/** Says whether a process still answers HTTP at all; a stopped one accepts connections and says nothing. */
export type Probe = (target: { readonly host: string; readonly port: number }, timeoutMs: number) => Promise<ProbeResult>
export type ProbeResult = 'alive' | 'silent' | 'refused'

/** Asks for a path that no worker has: any answer, 404 included, shows a running event loop. */
export const httpProbe: Probe = (target, timeoutMs) =>
  new Promise((resolve) => {
    const probe = request(
      { host: target.host, port: target.port, method: 'GET', path: '/_weft/probe', agent: false, timeout: timeoutMs },
      (answer) => {
        answer.resume()
        resolve('alive')
      },
    )
    probe.on('timeout', () => {
      resolve('silent')
      probe.destroy()
    })
    probe.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'))
    probe.end()
  })

const probeTimeoutMs = 1_000
/** Probes without an answer after which a lost instance is given up. */
const silentProbes = 2

/**
 * Probes instances that discovery has lost: Redis may be gone or flushed while they serve as before. One that refuses
 * connections, or stays silent twice, is given up.
 */
export class LostInstances {
  readonly #silent = new Map<KnownInstance, number>()
  readonly #running = new Set<KnownInstance>()
  readonly #probe: Probe
  readonly #giveUp: (instance: KnownInstance, reason: Error) => void

  constructor(probe: Probe, giveUp: (instance: KnownInstance, reason: Error) => void) {
    this.#probe = probe
    this.#giveUp = giveUp
  }

  /** Probes every lost instance that is not being probed; the caller repeats this each second while any is lost. */
  check(instances: Iterable<KnownInstance>): void {
    for (const instance of instances) {
      if (instance.lost && instance.known) void this.#check(instance)
    }
  }

  async #check(instance: KnownInstance): Promise<void> {
    if (this.#running.has(instance)) return
    this.#running.add(instance)
    const result = await this.#probe(instance, probeTimeoutMs)
    this.#running.delete(instance)
    // Discovery may have found it again meanwhile.
    if (result === 'alive' || !instance.lost || !instance.known) {
      this.#silent.delete(instance)
      return
    }
    const silent = (this.#silent.get(instance) ?? 0) + 1
    if (result === 'refused' || silent >= silentProbes) {
      this.#silent.delete(instance)
      this.#giveUp(instance, new Error(`${instance.id} is announced no more and does not answer`))
    } else this.#silent.set(instance, silent)
  }
}
