import { sql } from '@weft/storage'
import { z } from 'zod'
import { defineStream } from '../stream.ts'
import { newestBy, refillBy } from './refill.ts'

/** A doorbell: the messages stay in device_inbox, which /sync reads and deletes from. */
export const toDeviceRow = z.object({
  position: z.number(),
  userId: z.string(),
  deviceId: z.string(),
})
/** A row of {@link toDeviceStream}. */
export type ToDeviceRow = z.infer<typeof toDeviceRow>

// One position may have gone to several devices: the bound is the position of the limit's last row, its siblings included.
const refill = sql<{ position: number; user_id: string; device_id: string }>(
  'toDevice.refill',
  `SELECT stream_id AS position, user_id, device_id FROM device_inbox
   WHERE stream_id > $1 AND stream_id <= coalesce(
     (SELECT stream_id FROM device_inbox WHERE stream_id > $1 AND stream_id <= $2 ORDER BY stream_id OFFSET $3::int - 1 LIMIT 1), $2)
   ORDER BY stream_id`,
)
const newest = sql<{ newest: number | null }>('toDevice.newest', 'SELECT max(stream_id) AS newest FROM device_inbox')

/** Messages that wait for a device: where to look, not what they say. Several devices may share a position. */
export const toDeviceStream = defineStream({
  name: 'to_device',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: toDeviceRow,
  kept: {
    in: 'table',
    refill: refillBy(refill, (row): ToDeviceRow => ({ position: row.position, userId: row.user_id, deviceId: row.device_id })),
    newest: newestBy(newest),
  },
  syncToken: 'd',
})
