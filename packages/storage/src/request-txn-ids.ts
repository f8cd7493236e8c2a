import { createHash } from 'node:crypto'
import { sql, type Tx } from './sql.ts'

const insert = sql<{ inserted_ts: number }>(
  'requestTxnIds.insert',
  'INSERT INTO request_txn_ids (key, inserted_ts) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING RETURNING inserted_ts',
)

/** The key of a request by its sender, device and decoded path: the parts are length-prefixed, since each may contain any separator (R44). */
export function requestTxnKey(userId: string, deviceId: string, path: readonly string[]): Buffer {
  const hash = createHash('sha256')
  for (const part of [userId, deviceId, ...path]) hash.update(`${Buffer.byteLength(part)}:${part}`)
  return hash.digest().subarray(0, 16)
}

/** Remembers requests whose effect is no event, so that a repeated one does nothing. */
export class RequestTxnIdsWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** Claims the request. A rival in flight is waited for. @returns false when it was done before */
  async claim(key: Buffer, nowMs: number): Promise<boolean> {
    return (await this.#tx.query(insert, [key, nowMs])).length === 1
  }
}
