import { createHash } from 'node:crypto'

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
  return createHash('sha256')
    .update(`${scope.userId.length}:${scope.userId}${device.length}:${device}${scope.path}`)
    .digest()
    .subarray(0, 16)
}

/** Remembers which event each recent transaction made, and lets a retry wait for the one under way. Bounded by number. */
export class RecentTxns {
  readonly #max: number
  readonly #events = new Map<string, Promise<string>>()

  /** @param max how many transactions to keep (about 250 bytes each) */
  constructor(max = 50_000) {
    this.#max = max
  }

  /** Runs `send` once per key: a second caller gets the first one's event id. A failure is not remembered. */
  once(key: Buffer, send: () => Promise<string>): Promise<string> {
    const id = key.toString('latin1')
    const before = this.#events.get(id)
    if (before !== undefined) return before
    const sending = send()
    this.#events.set(id, sending)
    if (this.#events.size > this.#max) this.#events.delete(this.#events.keys().next().value as string)
    sending.catch(() => {
      if (this.#events.get(id) === sending) this.#events.delete(id)
    })
    return sending
  }
}
