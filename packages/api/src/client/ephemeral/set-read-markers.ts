import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, POST /rooms/{roomId}/read_markers. */
export const setReadMarkers = defineEndpoint({
  id: 'client.setReadMarker',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/{roomId}/read_markers',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['writer'],
  affinity: 'roomId',
  // Markers that stand there already are passed over.
  idempotent: true,
  body: z.object({
    'm.fully_read': z.string().optional(),
    'm.read': z.string().optional(),
    'm.read.private': z.string().optional(),
  }),
  response: z.object({}),
  async handler({ ctx, params, requester, body }) {
    const { userId } = requester
    const room = await ctx.accountReads.rooms.requireJoined(params.roomId, userId)
    for (const type of ['m.fully_read', 'm.read', 'm.read.private'] as const) {
      const eventId = body[type]
      if (eventId !== undefined) await ctx.accounts.receipts.set(userId, room, type, eventId)
    }
    return { json: {} }
  },
})
