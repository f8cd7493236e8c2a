import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { emptyResponse } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, PUT directory/room/{roomAlias}. */
export const setRoomAlias = defineEndpoint({
  id: 'client.setRoomAlias',
  method: 'PUT',
  path: '/_matrix/client/v3/directory/room/{roomAlias}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  body: z.object({ room_id: z.string() }),
  response: emptyResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    await ctx.rooms.aliases.create(requester.userId, params.roomAlias, body.room_id)
    return { json: {} }
  },
})
