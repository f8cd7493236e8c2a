import type { ServingClass } from '@weft/http'
import { Roster } from '@weft/kernel'
import { hash32, weight } from './affinity.ts'
import type { Instance, InstanceDirectory, InstanceState } from './instance.ts'

/** The part of a clock that the router reads: milliseconds that never go back. */
export interface MonotonicClock {
  monotonic(): number
}

/** An attempt that waits for, or receives, an answer of an instance. */
export interface RunningAttempt {
  /** Ends the attempt as if the connection had broken: the instance can no longer be answering for its class. */
  abandon(reason: Error): void
}

/** An instance with what this router has seen of it. Health is never shared between routers. */
export class KnownInstance {
  readonly id: string
  readonly class: ServingClass
  readonly hash: number
  readonly running = new Roster<RunningAttempt>()
  host: string
  port: number
  state: InstanceState
  epoch: number
  /** When it was first seen ready; orders two that call themselves the writer with the same epoch. */
  readySince: number
  /** Connections refused in a row. While there are any, one request at a time tries whether it is back. */
  failures = 0
  setAsideUntil = 0
  trying = false
  /** Listed no more without having said goodbye: discovery may have lost it, so it is probed before it is given up. */
  lost = false
  /** False once given up: its connections close and its running attempts end. */
  known = true
  /** Said ready by its answers while discovery still lists it as standby (discovery is late or gone). */
  servedAsWriter = false

  constructor(instance: Instance, now: number) {
    this.id = instance.instance
    this.class = instance.class
    this.hash = hash32(instance.instance)
    this.host = instance.host
    this.port = instance.port
    this.state = instance.state
    this.epoch = instance.epoch ?? 0
    this.readySince = now
  }
}

export interface InstanceBookEvents {
  /** A request that found no instance may find one now. */
  available(): void
  /** Discovery lists it no more, without its goodbye. */
  lost(instance: KnownInstance): void
  /** It is known no more. With a reason, what it was asked will not be answered. */
  removed(instance: KnownInstance, reason: Error | undefined): void
}

/** First pause after a refused connection, in ms; it doubles with each refusal up to the last. */
const setAsideFirstMs = 200
const setAsideLastMs = 2_000
/** How long a worker's answer that it is no active writer, or that it drains, outweighs its announcement, in ms. */
const notActiveMs = 200
const drainsMs = 3_000

/**
 * The instances this router sends to: discovery's list, kept when discovery loses an instance without its goodbye, and
 * corrected by what connections and answers show. One writer is chosen at most, the one with the highest epoch.
 */
export class InstanceBook {
  readonly #byId = new Map<string, KnownInstance>()
  /** Given up while discovery still lists them: nothing is heard of them before they announce something else. */
  readonly #givenUp = new Map<string, string>()
  readonly #candidates = new Map<ServingClass, readonly KnownInstance[]>()
  readonly #directory: InstanceDirectory
  readonly #clock: MonotonicClock
  readonly #events: InstanceBookEvents
  readonly #stop: () => void

  constructor(directory: InstanceDirectory, clock: MonotonicClock, events: InstanceBookEvents) {
    this.#directory = directory
    this.#clock = clock
    this.#events = events
    this.#stop = directory.onChange(() => this.update())
    this.update()
  }

  close(): void {
    this.#stop()
  }

  all(): IterableIterator<KnownInstance> {
    return this.#byId.values()
  }

  /** Takes discovery's present list. */
  update(): void {
    const listed = new Set<string>()
    for (const instance of this.#directory.instances()) {
      listed.add(instance.instance)
      if (this.#givenUp.get(instance.instance) === announcement(instance)) continue
      this.#givenUp.delete(instance.instance)
      this.#put(instance)
    }
    for (const id of this.#givenUp.keys()) if (!listed.has(id)) this.#givenUp.delete(id)
    for (const known of [...this.#byId.values()]) {
      if (listed.has(known.id) || known.lost) continue
      if (known.state === 'draining' || known.state === 'starting') this.#forget(known, undefined)
      else {
        known.lost = true
        this.#events.lost(known)
      }
    }
    this.#changed()
  }

  #put(instance: Instance): void {
    const now = this.#clock.monotonic()
    const known = this.#byId.get(instance.instance)
    if (known === undefined) {
      this.#byId.set(instance.instance, new KnownInstance(instance, now))
      this.#announced(instance)
      return
    }
    const epoch = instance.epoch ?? 0
    const changed = known.state !== instance.state || known.epoch !== epoch || known.host !== instance.host || known.port !== instance.port
    known.lost = false
    if (!changed) return
    if (instance.state === 'ready' && known.state !== 'ready') known.readySince = now
    known.state = instance.state
    known.epoch = epoch
    known.host = instance.host
    known.port = instance.port
    known.setAsideUntil = 0
    known.servedAsWriter = false
    this.#announced(instance)
  }

  /** Discovery speaks again: a writer that it has just named is news to what was found out by asking. */
  #announced(instance: Instance): void {
    if (instance.class !== 'writer' || instance.state !== 'ready') return
    for (const known of this.#byId.values()) if (known.class === 'writer') known.servedAsWriter = false
  }

  #forget(known: KnownInstance, reason: Error | undefined): void {
    this.#byId.delete(known.id)
    known.known = false
    this.#events.removed(known, reason)
  }

  #changed(): void {
    this.#candidates.clear()
    this.#events.available()
  }

  /** Ready instances of a class; of writers at most the newest. */
  candidates(serving: ServingClass): readonly KnownInstance[] {
    let list = this.#candidates.get(serving)
    if (list === undefined) {
      list = [...this.#byId.values()].filter((known) => known.class === serving && (known.state === 'ready' || known.servedAsWriter))
      if (serving === 'writer' && list.length > 1) list = [list.reduce((a, b) => (newer(b, a) ? b : a))]
      this.#candidates.set(serving, list)
    }
    return list
  }

  /** Ready writers that a newer one has replaced: what they still hold can no longer commit. */
  replacedWriters(): KnownInstance[] {
    const [writer] = this.candidates('writer')
    if (writer === undefined) return []
    return [...this.#byId.values()].filter(
      (known) => known.class === 'writer' && known !== writer && known.state === 'ready' && newer(writer, known),
    )
  }

  /**
   * Chooses an instance, or undefined when none of the classes has one that takes requests now.
   * @param servedBy classes in order of preference
   * @param exclude instances that this request has tried
   */
  pick(servedBy: readonly ServingClass[], keyHash: number, exclude: ReadonlySet<KnownInstance> | undefined): KnownInstance | undefined {
    const now = this.#clock.monotonic()
    for (const serving of servedBy) {
      let best: KnownInstance | undefined
      let bestWeight = -1
      for (const known of this.candidates(serving)) {
        if (known.setAsideUntil > now || (known.failures > 0 && known.trying) || exclude?.has(known) === true) continue
        const w = weight(keyHash, known.hash)
        if (w > bestWeight) {
          best = known
          bestWeight = w
        }
      }
      if (best !== undefined) {
        if (best.failures > 0) best.trying = true
        return best
      }
    }
    return undefined
  }

  /**
   * A standby to ask although discovery names no writer, in turn: it may have taken over while discovery is gone, and
   * one that has not refuses before it does anything.
   */
  pickStandby(): KnownInstance | undefined {
    if (this.candidates('writer').some((known) => known.setAsideUntil <= this.#clock.monotonic())) return undefined
    const now = this.#clock.monotonic()
    for (const known of this.#byId.values()) {
      if (known.class !== 'writer' || known.state !== 'standby' || known.setAsideUntil > now) continue
      // To the end of the map's order, so that the next call asks the next one.
      this.#byId.delete(known.id)
      this.#byId.set(known.id, known)
      return known
    }
    return undefined
  }

  /** An instance answered. @param asStandby what it was asked while discovery called it a standby */
  answered(known: KnownInstance, asStandby: boolean): void {
    if (known.failures > 0) {
      known.failures = 0
      known.trying = false
      known.setAsideUntil = 0
      this.#events.available()
    }
    // What it was asked before it stood by it may still answer.
    if (asStandby && known.state === 'standby' && !known.servedAsWriter) {
      known.servedAsWriter = true
      known.readySince = this.#clock.monotonic()
      this.#changed()
    }
  }

  /** An instance could not be reached: it is set aside for a while. */
  unreachable(known: KnownInstance): void {
    known.trying = false
    known.failures++
    known.servedAsWriter = false
    known.setAsideUntil = this.#clock.monotonic() + Math.min(setAsideLastMs, setAsideFirstMs * 2 ** Math.min(known.failures - 1, 8))
    if (known.state === 'standby') this.#candidates.clear()
  }

  /** An instance said that it takes no requests: it drains, or is no active writer. */
  refused(known: KnownInstance, drains: boolean): void {
    known.trying = false
    known.servedAsWriter = false
    known.setAsideUntil = this.#clock.monotonic() + (drains ? drainsMs : notActiveMs)
    this.#candidates.clear()
  }

  /** An attempt ended without showing whether the instance lives. */
  undecided(known: KnownInstance): void {
    known.trying = false
  }

  /** Gives an instance up that discovery lost and that no probe reached, or that a newer writer replaced. */
  giveUp(known: KnownInstance, reason: Error): void {
    if (!known.lost) this.#givenUp.set(known.id, announcement(known))
    // Out of the candidates first: what its requests do next must not find it.
    this.#candidates.clear()
    this.#forget(known, reason)
    this.#changed()
  }
}

/** An instance that is the writer a second time announces another epoch; the pause between may go unseen. */
function announcement({ state, epoch = 0 }: Pick<Instance, 'state' | 'epoch'>): string {
  return `${state} ${epoch}`
}

function newer(a: KnownInstance, b: KnownInstance): boolean {
  // A writer found by its answers while discovery is silent outweighs the announcement of the one before it.
  if (a.servedAsWriter !== b.servedAsWriter) return a.servedAsWriter
  return a.epoch !== b.epoch ? a.epoch > b.epoch : a.readySince > b.readySince
}
