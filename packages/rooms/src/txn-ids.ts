import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** A request's identity for idempotence: the same user, device and path with transaction id. */
export interface TxnScope {
  readonly userId: string
  readonly deviceId: string | undefined
  /** The request's path, transaction id included: the same id on another endpoint is another transaction. */
  readonly path: string
  readonly txnId: string
}

/**
 * The key a transaction is stored under: 16 bytes of SHA-256 over the parts, each preceded by its length (R44).
 * Spec: client-server API, "Transaction identifiers".
 */
export function txnKey(scope: TxnScope): Buffer {
  const device = scope.deviceId ?? ''
  const text = `${scope.userId.length}:${scope.userId}${device.length}:${device}${scope.path}`
  return hash('sha256', text, 'buffer').subarray(0, 16)
}

/** Remembers which event each recent transaction made, and lets a retry wait for the one under way. Bounded by number. */
export class RecentTxns {
  readonly #events: LRUCache<string, Promise<string>>

  /** @param max how many transactions to keep (about 250 bytes each) */
  constructor(max = 50_000) {
    this.#events = new LRUCache({ maxSize: max, sizeCalculation: () => 1 })
  }

  /** Runs `send` once per key: a second caller gets the first one's event id. A failure is not remembered. */
  once(key: Buffer, send: () => Promise<string>): Promise<string> {
    const id = key.toString('latin1')
    const before = this.#events.get(id)
    if (before !== undefined) return before
    const sending = send()
    this.#events.set(id, sending)
    sending.catch(() => {
      if (this.#events.peek(id) === sending) this.#events.delete(id)
    })
    return sending
  }
}
