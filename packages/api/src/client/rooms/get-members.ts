import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'
import { clientEventShape } from './bodies.ts'

const membership = z.enum(['join', 'invite', 'knock', 'leave', 'ban'])

/** Spec: client-server API, GET rooms/{roomId}/members. Streams: a room may have any number. */
export const getMembersByRoom = defineEndpoint({
  id: 'client.getMembersByRoom',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/{roomId}/members',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync'],
  affinity: 'roomId',
  query: z.object({ at: z.string().optional(), membership: membership.optional(), not_membership: membership.optional() }),
  response: z.object({ chunk: z.array(clientEventShape) }),
  async handler({ ctx, params, query, requester }) {
    const access = await ctx.rooms.reads.access(requester.userId, params.roomId)
    const members = ctx.rooms.reads.members(access, {
      at: query.at === undefined ? undefined : ctx.rooms.timelines.position(query.at),
      membership: query.membership,
      notMembership: query.not_membership,
    })
    return ctx.rooms.stream('{"chunk":[', members, ']}')
  },
})
