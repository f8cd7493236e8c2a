import { availableParallelism } from 'node:os'
import type { Algorithm, Options } from '@node-rs/argon2'
import { MatrixError } from '@weft/matrix'

/** How much hashing costs, and how much of it is done at once. */
export interface PasswordHasherOptions {
  /** Hashings at once. Default: one core stays free. */
  readonly concurrency?: number
  /** Requests that may wait for one. Default 64 each core. */
  readonly queueLimit?: number
  /** KiB of memory and passes of one hashing. Default 19,456 and 2, OWASP's recommendation for Argon2id. */
  readonly memoryCost?: number
  readonly timeCost?: number
}

// Loaded with the first password, since only the writer meets any: 4 MB that the other processes spare.
const argon2 = () => import('@node-rs/argon2')

/** Longer passwords are refused where they are set, and are wrong everywhere else. */
export const MAX_PASSWORD_LENGTH = 512

/**
 * Hashes and verifies passwords with Argon2id on libuv's thread pool, a few at once: each takes tens of ms of a core and
 * 19 MiB. Beyond the queue's bound it answers 503 with Retry-After.
 */
export class PasswordHasher {
  readonly #concurrency: number
  readonly #queueLimit: number
  readonly #options: Options
  readonly #decoy: string
  readonly #waiting: (() => void)[] = []
  /** Finished hashings, the seconds they took without waiting, and requests refused because the queue was full. */
  hashed = 0
  seconds = 0
  refused = 0
  #running = 0

  constructor(options: PasswordHasherOptions = {}) {
    const cores = availableParallelism()
    this.#concurrency = options.concurrency ?? Math.max(1, cores - 1)
    this.#queueLimit = options.queueLimit ?? 64 * cores
    const memoryCost = options.memoryCost ?? 19_456
    const timeCost = options.timeCost ?? 2
    this.#options = { algorithm: 2 satisfies Algorithm.Argon2id, memoryCost, timeCost, parallelism: 1 }
    // The same cost as a real one; a hash of 32 zero bytes, which no password is known to have.
    this.#decoy = `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`
  }

  /** Requests that wait for their turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** @returns the hash in PHC form, with salt and costs */
  async hash(password: string): Promise<string> {
    return this.#queued(async () => (await argon2()).hash(normalise(password), this.#options))
  }

  /**
   * @param passwordHash undefined where the account does not exist or has no password: takes the same time, answers false
   */
  async verify(passwordHash: string | undefined, password: string): Promise<boolean> {
    // A password that cannot have been set: cut, so that its length costs nothing.
    const candidate = password.length > MAX_PASSWORD_LENGTH ? '' : password
    const right = await this.#queued(async () => (await argon2()).verify(passwordHash ?? this.#decoy, normalise(candidate)))
    return right && passwordHash !== undefined && candidate === password
  }

  async #queued<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#concurrency) {
      if (this.#waiting.length >= this.#queueLimit) {
        this.refused++
        throw new MatrixError('M_UNKNOWN', 'Too many logins at once, try again', { status: 503, headers: { 'Retry-After': '2' } })
      }
      // Whoever finishes hands its place over, so #running does not change.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#running++
    const started = performance.now()
    try {
      return await work()
    } finally {
      this.hashed++
      this.seconds += (performance.now() - started) / 1000
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}

/** Devices differ in how they compose accented letters, so a password is hashed in one form, as Synapse does. */
function normalise(password: string): string {
  return password.normalize('NFKC')
}
