import { z } from 'zod'

const internalSecret = z.string().min(16, 'is too short to be a secret: take 16 characters or more, by `openssl rand -hex 32`')

/** Keys and secrets. None has a default: a server with a predictable one would be open (R31). */
export const secrets = {
  signing_key_path: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        'The file of the key that signs events. `<server_name>.signing.key` beside this file when left out. Losing it costs the server its name: keep a copy.',
      examples: ['/etc/weft/example.org.signing.key'],
    }),
  internal_secret: internalSecret
    .optional()
    .meta({ description: 'What the router and the other processes show each other. Each process refuses to start without it.' }),
  internal_secret_path: z
    .string()
    .optional()
    .meta({ description: 'A file that holds `internal_secret`.', examples: ['/run/secrets/weft-internal'] }),
  worker_replication_secret: internalSecret.optional().meta({ description: "Synapse's name for `internal_secret`." }),
  worker_replication_secret_path: z.string().optional().meta({ description: 'A file that holds it.' }),
}
