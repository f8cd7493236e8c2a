import { z } from 'zod'
import { duration } from '../units.ts'

const flag = (value: boolean, description: string) => z.boolean().default(value).meta({ description })

export const registration = {
  enable_registration: flag(false, 'Whether people may register by themselves.'),
  registration_requires_token: flag(false, 'Whether they need a registration token for it.'),
  enable_registration_without_verification: flag(
    false,
    'Whether a server that others can reach may be open to all who come, without token. Such servers are found and used for spam. On loopback alone it is not needed.',
  ),
  registration_shared_secret: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'With it `weft register-user`, and tools made for Synapse, create accounts while registration is closed.' }),
  registration_shared_secret_path: z
    .string()
    .optional()
    .meta({ description: 'A file that holds it.', examples: ['/run/secrets/weft-registration'] }),
  allow_guest_access: z
    .literal(false, 'guests are not supported: write false')
    .default(false)
    .meta({ description: 'Always false: registering as a guest answers 403.' }),
  password_config: z
    .strictObject({
      enabled: flag(true, 'Whether people may log in by password.'),
      policy: z
        .strictObject({
          enabled: flag(false, 'Whether the demands below are made of new passwords.'),
          minimum_length: z.int().min(0).max(512).default(0).meta({ description: 'The least number of characters.' }),
          require_digit: flag(false, 'Whether one must be a digit.'),
          require_symbol: flag(false, 'Whether one must be neither letter nor digit.'),
          require_lowercase: flag(false, 'Whether one must be a lower-case letter.'),
          require_uppercase: flag(false, 'Whether one must be an upper-case letter.'),
        })
        .prefault({})
        .meta({ description: 'Demands on new passwords.' }),
    })
    .prefault({})
    .meta({ description: 'Login by password.' }),
  ui_auth: z
    .strictObject({
      session_timeout: duration().prefault('1h').meta({
        description:
          'How long a session of user-interactive authentication may take from its first request to its last. A session serves one action only, so, unlike in Synapse, it is never used for a second one.',
      }),
    })
    .prefault({})
    .meta({
      description:
        'User-interactive authentication: what clients go through to register, or before an action that needs the password again.',
    }),
}
