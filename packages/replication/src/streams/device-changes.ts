import { z } from 'zod'
import { defineStream } from '../stream.ts'

/** Something that ends or changes sessions: logout, device deletion, deactivation, a changed password. */
export const deviceChangesRow = z.object({
  position: z.number(),
  userId: z.string(),
  /** Absent: all devices of the user. */
  deviceId: z.string().optional(),
  change: z.enum(['device_created', 'device_renamed', 'device_deleted', 'tokens_revoked', 'account_changed']),
})
export type DeviceChangesRow = z.infer<typeof deviceChangesRow>

export const deviceChangesStream = defineStream({
  name: 'device_changes',
  writtenBy: ['writer'],
  readBy: ['writer', 'sync'],
  row: deviceChangesRow,
  kept: { in: 'table' },
})
