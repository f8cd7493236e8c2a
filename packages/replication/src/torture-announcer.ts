import { type Clock, pause } from '@weft/kernel'
import type { OutgoingEntry, WireEntry } from './announcement.ts'
import type { Announcer, Follower, Following } from './announcer.ts'

/** How bad it gets; all shares are 0 by default. */
export interface TortureOptions {
  readonly announcer: Announcer
  readonly clock: Clock
  /** Between 0 and 1, each call anew; a seeded generator makes a run repeatable. */
  readonly random: () => number
  /** Share of entries that a follower never gets. */
  readonly drop?: number
  /** Share of entries that arrive twice. */
  readonly repeat?: number
  /** Share of entries that are held back behind the one that follows them. */
  readonly shuffle?: number
  /** An entry arrives up to this much later. */
  readonly delayMs?: number
}

/** Any announcer at its worst: what followers get is late, twice, out of order or not at all. */
export class TortureAnnouncer implements Announcer {
  readonly #options: TortureOptions

  constructor(options: TortureOptions) {
    this.#options = options
  }

  publish(entry: OutgoingEntry): void {
    this.#options.announcer.publish(entry)
  }

  async follow(follower: Follower): Promise<Following> {
    return await this.#options.announcer.follow(new TorturedFollower(follower, this.#options))
  }

  async stop(): Promise<void> {
    await this.#options.announcer.stop()
  }
}

class TorturedFollower implements Follower {
  readonly #follower: Follower
  readonly #options: TortureOptions
  #held: WireEntry | undefined

  constructor(follower: Follower, options: TortureOptions) {
    this.#follower = follower
    this.#options = options
  }

  async apply(wire: WireEntry, asOf?: number): Promise<void> {
    const { random, clock, drop = 0, repeat = 0, shuffle = 0, delayMs = 0 } = this.#options
    if (delayMs > 0) await pause(clock, random() * delayMs)
    if (random() < drop) return
    const held = this.#held
    this.#held = undefined
    if (held === undefined && random() < shuffle) {
      this.#held = wire
      return
    }
    await this.#follower.apply(wire, asOf)
    if (held !== undefined) await this.#follower.apply(held, asOf)
    if (random() < repeat) await this.#follower.apply(wire, asOf)
  }

  async resync(): Promise<void> {
    await this.#follower.resync()
  }
}
