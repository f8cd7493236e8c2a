import { sql } from '@weft/storage'
import { z } from 'zod'
import { defineStream } from '../stream.ts'
import { newestBy, refillBy } from './refill.ts'

/** Something that ends or changes sessions: logout, device deletion, deactivation, a changed password. */
export const deviceChangesRow = z.object({
  position: z.number(),
  userId: z.string(),
  /** Absent: all devices of the user. */
  deviceId: z.string().optional(),
  change: z.enum(['device_created', 'device_renamed', 'device_deleted', 'tokens_revoked', 'account_changed']),
})
/** A row of {@link deviceChangesStream}. */
export type DeviceChangesRow = z.infer<typeof deviceChangesRow>

const refill = sql<{ position: number; user_id: string; device_id: string | null; change: DeviceChangesRow['change'] }>(
  'deviceChanges.refill',
  `SELECT stream_id AS position, user_id, device_id, change FROM device_changes_stream
   WHERE stream_id > $1 AND stream_id <= $2 ORDER BY stream_id LIMIT $3`,
)
const newest = sql<{ newest: number | null }>('deviceChanges.newest', 'SELECT max(stream_id) AS newest FROM device_changes_stream')

/** What ends or changes sessions; acknowledged, so that a logout answers once nobody believes the token any more. */
export const deviceChangesStream = defineStream({
  name: 'device_changes',
  writtenBy: ['writer'],
  readBy: ['writer', 'sync'],
  row: deviceChangesRow,
  kept: {
    in: 'table',
    refill: refillBy(
      refill,
      (row): DeviceChangesRow => ({
        position: row.position,
        userId: row.user_id,
        deviceId: row.device_id ?? undefined,
        change: row.change,
      }),
    ),
    newest: newestBy(newest),
  },
  acknowledged: true,
})
