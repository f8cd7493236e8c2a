import { z } from 'zod'

/** A token bucket, or false where the limit is off. */
export type RateLimit = { readonly per_second: number; readonly burst_count: number } | false

function limit(perSecond: number, burstCount: number, description: string) {
  return z
    .union([
      z.strictObject({
        per_second: z
          .number()
          .positive('must be above 0: write `false` in place of the limit to switch it off')
          .default(perSecond)
          .meta({ description: 'How many a second, in the long run.' }),
        burst_count: z.number().min(1).transform(Math.floor).prefault(burstCount).meta({ description: 'How many at once.' }),
      }),
      z.literal(false),
    ])
    .prefault({})
    .meta({ description })
}

/** The limits that processes share through Redis. Defaults are Synapse's. */
export const rateLimits = {
  rc_message: limit(0.2, 10, 'Events sent, by user.'),
  rc_registration: limit(0.17, 3, 'Registrations, by address.'),
  rc_registration_token_validity: limit(0.1, 5, 'Questions whether a registration token is valid, by address.'),
  rc_login: z
    .strictObject({
      address: limit(0.003, 5, 'Logins, by address.'),
      account: limit(0.003, 5, 'Logins, by account.'),
      failed_attempts: limit(0.17, 3, 'Logins that failed, by account.'),
    })
    .prefault({})
    .meta({ description: 'Logins.' }),
  rc_joins: z
    .strictObject({
      local: limit(0.1, 10, 'Joins of rooms that this server is in, by user.'),
    })
    .prefault({})
    .meta({ description: 'Joins.' }),
  rc_invites: z
    .strictObject({
      per_room: limit(0.3, 10, 'Invitations to one room.'),
      per_user: limit(0.003, 5, 'Invitations of one user.'),
      per_issuer: limit(0.3, 10, 'Invitations by one user.'),
    })
    .prefault({})
    .meta({ description: 'Invitations.' }),
  rc_room_creation: limit(0.016, 10, 'Rooms created, by user.'),
}
