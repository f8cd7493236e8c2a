import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { emptyResponse } from './bodies.ts'
import { requireNotSuspended } from './standing.ts'

/** Spec: client-server API, PUT directory/list/room/{roomId}. */
export const setRoomVisibilityOnDirectory = defineEndpoint({
  id: 'client.setRoomVisibilityOnDirectory',
  method: 'PUT',
  path: '/_matrix/client/v3/directory/list/room/{roomId}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  body: z.object({ visibility: z.enum(['public', 'private']).optional() }),
  bodyOptional: true,
  response: emptyResponse,
  async handler({ ctx, params, requester, body }) {
    requireNotSuspended(requester)
    await ctx.rooms.publication.set(requester, params.roomId, body.visibility ?? 'public')
    return { json: {} }
  },
})
