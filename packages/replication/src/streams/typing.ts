import { z } from 'zod'
import { defineStream, type KeptInRedis } from '../stream.ts'

/** Everybody who is typing in a room now; the whole set each time, so that a lost row heals with the next. */
export const typingRow = z.object({
  position: z.number(),
  roomNid: z.number(),
  roomId: z.string(),
  userIds: z.array(z.string()),
})
/** A row of {@link typingStream}. */
export type TypingRow = z.infer<typeof typingRow>

const kept: KeptInRedis<TypingRow> = {
  in: 'redis',
  keyOf: (row) => row.roomId,
  isEmpty: (row) => row.userIds.length === 0,
  emptied: (row, position) => ({ ...row, userIds: [], position }),
}

/** Who is typing. Kept by Redis alone: losing it ends all typing. */
export const typingStream = defineStream({
  name: 'typing',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: typingRow,
  kept,
  syncToken: 't',
})
