import { type JsonObject, setOwn } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

/** Spec: client-server API, GET /profile/{userId}/{keyName}. */
export const getProfileField = defineEndpoint({
  id: 'client.getProfileField',
  method: 'GET',
  path: '/_matrix/client/v3/profile/{userId}/{keyName}',
  aliases: ['r0'],
  auth: 'none',
  servedBy: ['sync', 'writer'],
  affinity: 'none',
  unstableFeatures: ['uk.tcpip.msc4133.stable'],
  response: z.record(z.string(), z.unknown()),
  async handler({ ctx, params }) {
    const field: JsonObject = {}
    setOwn(field, params.keyName, await ctx.accountReads.profiles.field(params.userId, params.keyName))
    return { json: field }
  },
})
