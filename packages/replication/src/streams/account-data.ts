import { sql } from '@weft/storage'
import { z } from 'zod'
import { defineStream } from '../stream.ts'
import { newestBy, refillBy } from './refill.ts'

/** Account data was set or deleted, of an account or for a room. */
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
/** A row of {@link accountDataStream}. */
export type AccountDataRow = z.infer<typeof accountDataRow>

const refill = sql<{
  position: number
  user_id: string
  room_nid: number
  room_id: string | null
  account_data_type: string
  content: string | null
}>(
  'accountData.refill',
  `SELECT a.stream_id AS position, a.user_id, a.room_nid, rooms.room_id, a.account_data_type, a.content
   FROM account_data a LEFT JOIN rooms ON rooms.room_nid = a.room_nid
   WHERE a.stream_id > $1 AND a.stream_id <= $2 ORDER BY a.stream_id LIMIT $3`,
)
const newest = sql<{ newest: number | null }>('accountData.newest', 'SELECT max(stream_id) AS newest FROM account_data')

/** Changes of account data, tags included. A deleted type keeps a row without content. */
export const accountDataStream = defineStream({
  name: 'account_data',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: accountDataRow,
  kept: {
    in: 'table',
    refill: refillBy(
      refill,
      (row): AccountDataRow => ({
        position: row.position,
        userId: row.user_id,
        roomNid: row.room_nid === 0 ? undefined : row.room_nid,
        roomId: row.room_id ?? undefined,
        type: row.account_data_type,
        content: row.content ?? undefined,
      }),
    ),
    newest: newestBy(newest),
  },
  syncToken: 'a',
})
