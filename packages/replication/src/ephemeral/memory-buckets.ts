import type { Clock } from '@weft/kernel'
import { LRUCache } from 'lru-cache'
import type { BucketAnswer, BucketLimit, TokenBuckets } from './ephemeral-store.ts'

/** About 20 MB of buckets; the one that was not used for longest goes first, and is full again when it comes back. */
const largestCount = 100_000

/** Token buckets of one process: the single layout, and every process while Redis is away. */
export class MemoryBuckets implements TokenBuckets {
  readonly #clock: Clock
  readonly #buckets = new LRUCache<string, { tokens: number; at: number }>({ maxSize: largestCount, sizeCalculation: () => 1 })

  constructor(options: { readonly clock: Clock }) {
    this.#clock = options.clock
  }

  async take(key: string, limit: BucketLimit, cost = 1): Promise<BucketAnswer> {
    const now = this.#clock.monotonic()
    const bucket = this.#buckets.get(key) ?? { tokens: limit.burstCount, at: now }
    const tokens = Math.min(limit.burstCount, bucket.tokens + ((now - bucket.at) / 1000) * limit.perSecond)
    const enough = tokens >= cost
    this.#buckets.set(key, { tokens: enough ? tokens - cost : tokens, at: now })
    return enough ? { ok: true } : { ok: false, retryAfterMs: Math.ceil(((cost - tokens) / limit.perSecond) * 1000) }
  }
}
