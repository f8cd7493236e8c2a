import { isIP } from 'node:net'
import { DEFAULT_ROOM_VERSION, isServerName, isUserId, stableRoomVersions } from '@weft/matrix'
import { z } from 'zod'
import { duration } from '../units.ts'

const LOOPBACK_PROXIES = ['127.0.0.0/8', '::1/128']

/** True for an address, or a range in CIDR notation. */
function isAddressRange(text: string): boolean {
  const [address = '', bits, rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest !== undefined) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

const httpUrl = z.url({ protocol: /^https?$/ }).refine((url) => !/[?#]/.test(url), 'has a query or fragment: give the base only')
const port = z.int().min(0).max(65535)

const contact = z
  .strictObject({
    matrix_id: z
      .string()
      .refine(isUserId, 'is no user id such as @admin:example.org')
      .optional()
      .meta({ description: 'The user id of the contact.' }),
    email_address: z.email().optional().meta({ description: 'The e-mail address of the contact.' }),
    role: z.enum(['m.role.admin', 'm.role.security']).meta({ description: 'What the contact is for.' }),
  })
  .refine((value) => value.matrix_id !== undefined || value.email_address !== undefined, 'needs matrix_id or email_address')

/** Who this server is, and what it says about itself. */
export const server = {
  server_name: z
    .string()
    .refine(isServerName, 'is no server name: write a DNS name or an address, with :port if need be, such as example.org')
    .meta({
      description: 'The name of the server: the part of user ids after the colon. It cannot be changed once there is an account.',
      examples: ['example.org', 'localhost:8008'],
    }),
  public_baseurl: httpUrl
    .meta({
      description: 'The URL at which clients reach the router. /.well-known/matrix/client names it; without it, that answers 404.',
      examples: ['https://matrix.example.org/'],
    })
    .transform((url) => (url.endsWith('/') ? url : `${url}/`))
    .optional(),
  admin_contact: z
    .string()
    .regex(/^mailto:.+@.+$/, 'is no e-mail link such as mailto:admin@example.org')
    .optional()
    .meta({
      description: 'How to reach the administrator. /.well-known/matrix/support gives it when `support.contacts` is empty.',
      examples: ['mailto:admin@example.org'],
    }),
  support: z
    .strictObject({
      contacts: z
        .array(contact)
        .default([])
        .meta({ description: 'Whom to ask for help.', examples: [[{ matrix_id: '@admin:example.org', role: 'm.role.admin' }]] }),
      support_page: httpUrl.optional().meta({ description: 'A page for people who need help.', examples: ['https://example.org/help'] }),
    })
    .prefault({})
    .meta({ description: 'What /.well-known/matrix/support answers; it answers 404 when neither this nor `admin_contact` is given.' }),
  default_room_version: z
    .union([z.string(), z.int()])
    .transform(String)
    .refine((version) => stableRoomVersions.includes(version), `is no room version of this server: it has ${stableRoomVersions.join(', ')}`)
    .prefault(DEFAULT_ROOM_VERSION)
    .meta({ description: 'The version of new rooms whose creator does not ask for another.' }),
}

/** Where it listens, and how a process of it is run. */
export const network = {
  listeners: z
    .array(
      z.strictObject({
        port: port.meta({ description: 'The TCP port. 0 takes any free one.' }),
        bind_addresses: z
          .array(z.string().min(1))
          .min(1)
          .default(['::', '0.0.0.0'])
          .meta({ description: 'The local addresses to listen on. As in Synapse, all of them when the key is left out.' }),
        type: z.enum(['http', 'metrics']).default('http').meta({
          description:
            '`http`: the door for clients, at the router. `metrics`: the address of /health, /ready and /metrics, in every process.',
        }),
        x_forwarded: z.boolean().default(false).meta({
          description:
            "Set where a reverse proxy stands in front: a client's address is then read from X-Forwarded-For, as far as `trusted_proxies` vouch for it.",
        }),
        tls: z
          .literal(false, 'TLS ends at the reverse proxy: write false, and give the certificate to the proxy')
          .default(false)
          .meta({ description: 'Always false: TLS ends at a reverse proxy or ingress.' }),
      }),
    )
    .min(1)
    .prefault([{ port: 8008, bind_addresses: ['127.0.0.1', '::1'], type: 'http' }])
    .meta({
      description:
        'Where to listen. The router, or the one process of `weft start`, opens the `http` ones; the other processes serve the router on `process.port`.',
    }),
  trusted_proxies: z
    .array(z.string().refine(isAddressRange, 'is neither an address nor a range such as 10.0.0.0/8'))
    .default(LOOPBACK_PROXIES)
    .meta({ description: 'Proxies whose X-Forwarded-For is believed, on listeners with `x_forwarded`: addresses or ranges.' }),
  process: z
    .strictObject({
      name: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, 'may have letters, digits, _ and - only, at most 63')
        .optional()
        .meta({
          description:
            'The name of this instance, in logs, tokens and discovery. A random one when left out. Two live processes never share one.',
          examples: ['sync-1a2b'],
        }),
      bind_address: z
        .string()
        .min(1)
        .default('127.0.0.1')
        .meta({ description: 'The address on which a process that is not the router serves the router.' }),
      port: port.default(0).meta({
        description:
          'Its port. 0 takes any free one: discovery tells the router. In a router other than 0 replaces the port of its first `http` listener.',
      }),
      advertise_address: z
        .string()
        .min(1)
        .optional()
        .meta({
          description:
            'The address that is announced to routers, where it differs from `bind_address`: in a container, the address of the pod.',
          examples: ['10.1.2.3'],
        }),
      health_bind_address: z
        .string()
        .min(1)
        .default('127.0.0.1')
        .meta({ description: 'The address of /health, /ready and /metrics when `health_port` is given, or no `metrics` listener is.' }),
      health_port: port.optional().meta({
        description:
          'The port of /health, /ready and /metrics. 0 takes any free one. Without it the first `metrics` listener counts, and without that any free port.',
      }),
      shutdown_deadline: duration().prefault('25s').meta({
        description: 'A process that was told to stop ends after this time at the latest. Keep it below the 30 seconds of Kubernetes.',
      }),
    })
    .prefault({})
    .meta({
      description: 'Facts of one process rather than of the server; most often given by environment variables, such as WEFT_PROCESS__PORT.',
    }),
}

/** What it writes about its work. */
export const logging = {
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').meta({ description: 'The least level that is written.' }),
      format: z.enum(['text', 'json']).default('text').meta({ description: '`text` for people, `json`, one object a line, for machines.' }),
    })
    .prefault({})
    .meta({ description: 'The log, on standard output. Access tokens and passwords never appear in it.' }),
}
