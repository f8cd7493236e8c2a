import { z } from 'zod'
import { defineStream } from '../stream.ts'

export const accountDataRow = z.object({
  position: z.number(),
  userId: z.string(),
  /** Absent for the account's own (global) data. */
  roomNid: z.number().optional(),
  roomId: z.string().optional(),
  type: z.string(),
  /** The content as JSON text; absent when it was deleted. */
  content: z.string().optional(),
})
export type AccountDataRow = z.infer<typeof accountDataRow>

export const accountDataStream = defineStream({
  name: 'account_data',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: accountDataRow,
  kept: { in: 'table' },
  syncToken: 'a',
})
