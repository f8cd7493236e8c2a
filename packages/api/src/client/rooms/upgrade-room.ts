import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, POST rooms/{roomId}/upgrade. Asking again answers with the same room, so the router may repeat it. */
export const upgradeRoom = defineEndpoint({
  id: 'client.upgradeRoom',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/upgrade',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  rateLimit: 'createRoom',
  idempotent: true,
  body: z.object({ new_version: z.string(), additional_creators: z.array(z.string()).max(100).optional() }),
  response: z.object({ replacement_room: z.string() }),
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    const replacement = await ctx.rooms.upgrade.upgrade(requester.userId, params.roomId, {
      newVersion: body.new_version,
      additionalCreators: body.additional_creators ?? [],
    })
    return { json: { replacement_room: replacement } }
  },
})
