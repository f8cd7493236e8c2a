import { sql } from '@weft/storage'
import { z } from 'zod'
import { defineStream } from '../stream.ts'
import { newestBy, refillBy } from './refill.ts'

/** A receipt was moved forwards. `receiptType` is m.read or m.read.private; `ts` is ms since 1970. */
export const receiptsRow = z.object({
  position: z.number(),
  roomNid: z.number(),
  roomId: z.string(),
  receiptType: z.string(),
  userId: z.string(),
  /** Absent for an unthreaded receipt. */
  threadId: z.string().optional(),
  eventId: z.string(),
  ts: z.number(),
})
/** A row of {@link receiptsStream}. */
export type ReceiptsRow = z.infer<typeof receiptsRow>

const refill = sql<{
  position: number
  room_nid: number
  room_id: string
  receipt_type: string
  user_id: string
  thread_id: string
  event_id: string
  receipt_ts: number
}>(
  'receipts.refill',
  `SELECT r.stream_id AS position, r.room_nid, rooms.room_id, r.receipt_type, r.user_id, r.thread_id, r.event_id, r.receipt_ts
   FROM receipts_linearized r JOIN rooms ON rooms.room_nid = r.room_nid
   WHERE r.stream_id > $1 AND r.stream_id <= $2 ORDER BY r.stream_id LIMIT $3`,
)
const newest = sql<{ newest: number | null }>('receipts.newest', 'SELECT max(stream_id) AS newest FROM receipts_linearized')

/** Receipts. Readers keep private ones from everybody but their user. */
export const receiptsStream = defineStream({
  name: 'receipts',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: receiptsRow,
  kept: {
    in: 'table',
    refill: refillBy(
      refill,
      (row): ReceiptsRow => ({
        position: row.position,
        roomNid: row.room_nid,
        roomId: row.room_id,
        receiptType: row.receipt_type,
        userId: row.user_id,
        threadId: row.thread_id === '' ? undefined : row.thread_id,
        eventId: row.event_id,
        ts: row.receipt_ts,
      }),
    ),
    newest: newestBy(newest),
  },
  syncToken: 'r',
})
