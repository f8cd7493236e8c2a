import { predefinedPushRules } from '@weft/matrix'
import { z } from 'zod'
import { defineEndpoint } from '../../define.ts'

const rules = z.array(
  z.object({
    rule_id: z.string(),
    default: z.boolean(),
    enabled: z.boolean(),
    conditions: z.array(z.record(z.string(), z.unknown())),
    actions: z.array(z.union([z.string(), z.record(z.string(), z.unknown())])),
  }),
)

/**
 * Spec: client-server API, GET /pushrules/. No endpoint changes rules, so every user has the predefined ones. matrix-js-sdk does
 * not begin to sync before it has them.
 */
export const getPushRules = defineEndpoint({
  id: 'client.getPushRules',
  method: 'GET',
  path: '/_matrix/client/v3/pushrules/',
  aliases: ['r0'],
  auth: 'accessToken',
  servedBy: ['sync', 'writer'],
  affinity: 'user',
  response: z.object({ global: z.object({ override: rules, content: rules, room: rules, sender: rules, underride: rules }) }),
  async handler({ requester }) {
    return { json: { global: predefinedPushRules(requester.userId) } }
  },
})
