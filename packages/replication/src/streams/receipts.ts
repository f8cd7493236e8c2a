import { z } from 'zod'
import { defineStream } from '../stream.ts'

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
export type ReceiptsRow = z.infer<typeof receiptsRow>

export const receiptsStream = defineStream({
  name: 'receipts',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: receiptsRow,
  kept: { in: 'table' },
  syncToken: 'r',
})
