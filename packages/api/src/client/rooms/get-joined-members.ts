import { MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET rooms/{roomId}/joined_members. */
export const getJoinedMembersByRoom = defineEndpoint({
  id: 'client.getJoinedMembersByRoom',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/joined_members',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  response: z.object({
    joined: z.record(z.string(), z.object({ display_name: z.string().optional(), avatar_url: z.string().optional() })),
  }),
  async handler({ ctx, params, requester }) {
    const access = await ctx.rooms.reads.access(requester.userId, params.roomId)
    if (access.view.membership !== 'join') throw new MatrixError('M_FORBIDDEN', 'You are not in this room')
    return ctx.rooms.stream('{"joined":{', ctx.rooms.reads.joinedMembers(access), '}}')
  },
})
