import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { jsonObject, roomIdResponse } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST createRoom. */
export const createRoom = defineEndpoint({
  id: 'client.createRoom',
  method: 'POST',
  path: '/_matrix/client/v3/createRoom',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  rateLimit: 'createRoom',
  maxBodyBytes: 1024 * 1024,
  body: z.object({
    visibility: z.enum(['public', 'private']).optional(),
    room_alias_name: z.string().optional(),
    name: z.string().optional(),
    topic: z.string().optional(),
    invite: z.array(z.string()).optional(),
    invite_3pid: z.array(jsonObject).optional(),
    room_version: z.string().optional(),
    creation_content: jsonObject.optional(),
    initial_state: z.array(z.object({ type: z.string(), state_key: z.string().optional(), content: jsonObject })).optional(),
    preset: z.enum(['private_chat', 'public_chat', 'trusted_private_chat']).optional(),
    is_direct: z.boolean().optional(),
    power_level_content_override: jsonObject.optional(),
  }),
  response: roomIdResponse,
  async handler({ ctx, requester, body }) {
    requireNotSuspended(requester)
    if ((body.invite_3pid?.length ?? 0) > 0) {
      throw new MatrixError('M_THREEPID_DENIED', 'This server has no identity server to invite by email or phone number with')
    }
    const { roomId, roomAlias } = await ctx.rooms.creation.create(requester.userId, body)
    return { json: roomAlias === undefined ? { room_id: roomId } : { room_id: roomId, room_alias: roomAlias } }
  },
})
