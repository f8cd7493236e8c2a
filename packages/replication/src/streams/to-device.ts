import { z } from 'zod'
import { defineStream } from '../stream.ts'

/** A doorbell: the messages stay in device_inbox, which /sync reads and deletes from. */
export const toDeviceRow = z.object({
  position: z.number(),
  userId: z.string(),
  deviceId: z.string(),
})
export type ToDeviceRow = z.infer<typeof toDeviceRow>

export const toDeviceStream = defineStream({
  name: 'to_device',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: toDeviceRow,
  kept: { in: 'table' },
  syncToken: 'd',
})
