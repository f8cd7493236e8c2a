import type { Clock, Timer } from '@weft/kernel'
import { type Queryable, sql } from '@weft/storage'
import type { WriterIdentity } from './stored-positions.ts'

const beatMs = 1000
/** Without an answered beat for this long a standby may have taken over. */
const validMs = 3000

const beat = sql(
  'lease.beat',
  `INSERT INTO writer_heartbeat (writer, instance, beat_ts) VALUES ($1, $2, clock_timestamp())
   ON CONFLICT (writer) DO UPDATE SET instance = excluded.instance, beat_ts = excluded.beat_ts`,
)

interface LockSession extends Queryable {
  readonly ended: Promise<Error | undefined>
  close(): Promise<void>
}

interface HeldLeaseOptions {
  readonly session: LockSession
  readonly applicationName: string
  readonly name: string
  readonly clock: Clock
}

/** The writer lease in hand: beats on the lock's own connection until it is released or lost. */
export class HeldLease {
  /** For each write: who writes, and in which epoch. */
  writer: WriterIdentity
  readonly #options: HeldLeaseOptions
  readonly #lost = new AbortController()
  #beatAt: number
  #beating = false
  #timer: Timer | undefined
  #released = false

  private constructor(options: HeldLeaseOptions) {
    this.#options = options
    this.writer = { name: options.name, epoch: 0 }
    this.#beatAt = options.clock.monotonic()
  }

  /** Beats at once (a standby must not take a new holder for the old one), then each second. */
  static async begin(options: HeldLeaseOptions): Promise<HeldLease> {
    const lease = new HeldLease(options)
    void options.session.ended.then((err) => lease.#lose(err?.message ?? 'the connection ended'))
    await lease.#beat()
    lease.#timer = options.clock.setInterval(() => lease.#tick(), beatMs)
    return lease
  }

  /** Aborts when this process is the writer no more, without having given it back. The reason is an Error. */
  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** False as soon as another process may have taken over: what memory says may then be old. */
  held(): boolean {
    return !this.#released && !this.#lost.signal.aborted && this.#options.clock.monotonic() - this.#beatAt < validMs
  }

  /** Gives it back: a standby has it at its next poll. */
  async release(): Promise<void> {
    this.#released = true
    this.#timer?.cancel()
    await this.#options.session.close()
  }

  #tick(): void {
    if (this.#beating) {
      if (this.#options.clock.monotonic() - this.#beatAt >= validMs) this.#lose('PostgreSQL does not answer heartbeats')
      return
    }
    this.#beat().catch((err: Error) => this.#lose(err.message))
  }

  async #beat(): Promise<void> {
    const { session, name, applicationName, clock } = this.#options
    const asked = clock.monotonic()
    this.#beating = true
    try {
      await session.execute(beat, [name, applicationName])
      this.#beatAt = asked
    } finally {
      this.#beating = false
    }
  }

  #lose(reason: string): void {
    if (this.#released || this.#lost.signal.aborted) return
    this.#timer?.cancel()
    this.#lost.abort(new Error(`the writer lease was lost: ${reason}`))
    // Where the connection still stands the lock must go with it; a dead one cannot be closed in order.
    this.#options.session.close().catch(() => undefined)
  }
}
