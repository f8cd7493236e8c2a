import { defineEndpoint } from '../../define.ts'
import { emptyResponse } from './bodies.ts'

/** Spec: client-server API, DELETE directory/room/{roomAlias}. */
export const deleteRoomAlias = defineEndpoint({
  id: 'client.deleteRoomAlias',
  method: 'DELETE',
  path: '/_matrix/client/v3/directory/room/{roomAlias}',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'user',
  response: emptyResponse,
  async handler({ ctx, params, requester }) {
    await ctx.rooms.aliases.remove(requester, params.roomAlias)
    return { json: {} }
  },
})
