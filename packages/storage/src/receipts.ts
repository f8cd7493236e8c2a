import { sql, type Tx } from './sql.ts'

/** `thread_id` of an unthreaded receipt. */
export const UNTHREADED = ''

/** A receipt as the table has it. `threadId` is {@link UNTHREADED} or a thread's; `ts` is ms since 1970. */
export interface Receipt {
  readonly roomNid: number
  readonly receiptType: string
  readonly userId: string
  readonly threadId: string
  readonly position: number
  readonly eventId: string
  readonly eventStreamOrdering: number | undefined
  readonly ts: number
}

// A receipt never moves backwards; without a known place the newer request wins.
const advance = sql<{ stream_id: number }>(
  'receipts.advance',
  `INSERT INTO receipts_linearized AS r (room_nid, receipt_type, user_id, thread_id, stream_id, event_id, event_stream_ordering, receipt_ts)
   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
   ON CONFLICT (room_nid, receipt_type, user_id, thread_id) DO UPDATE
     SET stream_id = EXCLUDED.stream_id, event_id = EXCLUDED.event_id,
         event_stream_ordering = EXCLUDED.event_stream_ordering, receipt_ts = EXCLUDED.receipt_ts
   WHERE r.event_stream_ordering IS NULL OR EXCLUDED.event_stream_ordering IS NULL OR r.event_stream_ordering < EXCLUDED.event_stream_ordering
   RETURNING stream_id`,
)

/** Writes receipts. */
export class ReceiptsWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** Moves the receipt forwards. @returns false when it already stands there or further on */
  async advance(receipt: Receipt): Promise<boolean> {
    const rows = await this.#tx.query(advance, [
      receipt.roomNid,
      receipt.receiptType,
      receipt.userId,
      receipt.threadId,
      receipt.position,
      receipt.eventId,
      receipt.eventStreamOrdering ?? null,
      receipt.ts,
    ])
    return rows.length === 1
  }
}
