import { isJsonObject, type JsonObject } from '@weft/matrix'
import { z } from 'zod'

/** `reason` of the membership endpoints. */
export const reasonBody = z.object({ reason: z.string().max(2048).optional() })

export const userAndReasonBody = z.object({ user_id: z.string(), reason: z.string().max(2048).optional() })

/** An object whose content is handed on as it came: no zod object looks inside (R45). */
export const jsonObject = z.custom<JsonObject>((value) => isJsonObject(value), 'expected object')

export const emptyResponse = z.object({})
export const eventIdResponse = z.object({ event_id: z.string() })
export const roomIdResponse = z.object({ room_id: z.string() })

/** Any client event. */
export const clientEventShape = z.object({
  event_id: z.string(),
  type: z.string(),
  room_id: z.string(),
  sender: z.string(),
  origin_server_ts: z.number(),
  content: z.record(z.string(), z.unknown()),
  state_key: z.string().optional(),
  unsigned: z.record(z.string(), z.unknown()).optional(),
})
