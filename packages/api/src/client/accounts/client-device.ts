import { z } from 'zod'

/** Spec: definitions/client_device.yaml. */
export const clientDevice = z.object({
  device_id: z.string(),
  display_name: z.string().optional(),
  last_seen_ip: z.string().optional(),
  last_seen_ts: z.int().optional(),
})
