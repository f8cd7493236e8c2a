import { z } from 'zod'
import { size } from '../units.ts'

/** Where the truth is kept: what storage needs to connect. */
export interface DatabaseSettings {
  /** `postgresql://…`, with everything the connection needs. */
  readonly url: string
  /** Connections at most, for one process. */
  readonly pool_size: number
}

/** How to reach Redis. */
export interface RedisSettings {
  /** `redis://`, `rediss://` or, for a socket, `/path?db=0`: the forms that ioredis takes. */
  readonly url: string
}

const databaseArgs = z.strictObject({
  user: z
    .string()
    .optional()
    .meta({ description: 'The role to log in as.', examples: ['weft'] }),
  password: z.string().optional().meta({ description: 'Its password.' }),
  password_path: z.string().optional().meta({ description: 'A file that holds the password.' }),
  dbname: z
    .string()
    .optional()
    .meta({ description: 'The name of the database.', examples: ['weft'] }),
  database: z.string().optional().meta({ description: 'The same as `dbname`.' }),
  host: z
    .string()
    .optional()
    .meta({
      description: 'Host name, address, or the folder of a socket (an absolute path). `localhost` when left out.',
      examples: ['localhost'],
    }),
  port: z.int().min(1).max(65535).optional().meta({ description: 'The port; 5432 when left out.' }),
  cp_max: z.int().min(2).max(500).default(10).meta({ description: 'Connections at most, for each process. They are opened when needed.' }),
  sslmode: z
    .enum(['disable', 'prefer', 'require', 'verify-ca', 'verify-full'])
    .optional()
    .meta({ description: 'TLS to the database, as libpq understands the word.' }),
  sslrootcert: z.string().optional().meta({ description: 'A file of certificate authorities.' }),
  sslcert: z.string().optional().meta({ description: "A file with this client's certificate." }),
  sslkey: z.string().optional().meta({ description: 'A file with its key.' }),
})

/** `postgresql://` from the parts that Synapse's configuration has. */
function databaseUrl(args: z.output<typeof databaseArgs>): string {
  const url = new URL('postgresql://localhost')
  const socket = args.host?.startsWith('/') === true
  if (args.host !== undefined && !socket) url.hostname = args.host.includes(':') ? `[${args.host}]` : args.host
  if (args.port !== undefined) url.port = String(args.port)
  url.username = encodeURIComponent(args.user ?? '')
  url.password = encodeURIComponent(args.password ?? '')
  url.pathname = `/${encodeURIComponent(args.dbname ?? args.database ?? '')}`
  if (socket) url.searchParams.set('host', args.host ?? '')
  // Without this word pg would read `require` as `verify-full`.
  if (args.sslmode !== undefined) url.searchParams.set('uselibpqcompat', 'true')
  for (const key of ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'] as const)
    if (args[key] !== undefined) url.searchParams.set(key, args[key])
  return url.href
}

const database = z
  .strictObject({
    name: z
      .literal('psycopg2', 'PostgreSQL is the only database: write psycopg2, or leave the key out')
      .default('psycopg2')
      .meta({ description: 'Always `psycopg2`, which is how Synapse says PostgreSQL.' }),
    url: z
      .url({ protocol: /^postgres(ql)?$/, error: 'is no URL such as postgresql://user:password@host:5432/name' })
      .optional()
      .meta({
        description: 'All of the connection as one URL, instead of `args`.',
        examples: ['postgresql://weft:secret@localhost:5432/weft'],
      }),
    url_path: z.string().optional().meta({ description: 'A file that holds the URL.' }),
    args: databaseArgs.prefault({}).meta({ description: 'The connection in parts, as Synapse has them.' }),
  })
  .superRefine((value, ctx) => {
    const { cp_max: _, ...connection } = value.args
    const given = Object.keys(connection)
    if (value.url !== undefined && given.length > 0)
      ctx.addIssue({ code: 'custom', message: `is given by url and by args (${given.join(', ')}): keep one of them` })
    if (value.url === undefined && value.args.dbname === undefined && value.args.database === undefined)
      ctx.addIssue({ code: 'custom', message: 'names no database: give url, or args with dbname' })
    if (value.args.dbname !== undefined && value.args.database !== undefined)
      ctx.addIssue({ code: 'custom', path: ['args', 'database'], message: 'means the same as dbname: keep one of them' })
  })
  .meta({
    examples: [
      {
        name: 'psycopg2',
        args: { user: 'weft', password_path: '/run/secrets/weft-database', dbname: 'weft', host: 'localhost', cp_max: 10 },
      },
    ],
  })
  .transform((value): DatabaseSettings => ({ url: value.url ?? databaseUrl(value.args), pool_size: value.args.cp_max }))

const redis = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .meta({ description: 'Processes of their own need Redis; the one process of `weft start` does not.' }),
    url: z
      .string()
      .regex(/^(rediss?:\/\/[^/]|\/)/, 'is no URL such as redis://:password@host:6379/0')
      .optional()
      .meta({ description: 'All of the connection as one URL, instead of the parts below.', examples: ['redis://localhost:6379/0'] }),
    url_path: z.string().optional().meta({ description: 'A file that holds the URL.' }),
    host: z.string().min(1).default('localhost').meta({ description: 'Host name or address.' }),
    port: z.int().min(1).max(65535).default(6379).meta({ description: 'The port.' }),
    path: z
      .string()
      .startsWith('/', 'is no absolute path')
      .optional()
      .meta({ description: 'A socket, instead of host and port.', examples: ['/run/redis/redis.sock'] }),
    password: z.string().min(1).optional().meta({ description: 'The password, if Redis wants one.' }),
    password_path: z.string().optional().meta({ description: 'A file that holds the password.' }),
    dbid: z
      .union([z.int().nonnegative(), z.string().regex(/^\d+$/, 'is no number')])
      .transform(Number)
      .prefault(0)
      .meta({ description: 'The number of the logical database.' }),
    use_tls: z.boolean().default(false).meta({ description: 'TLS to Redis.' }),
  })
  .meta({ examples: [{ enabled: true, host: 'localhost', port: 6379, password_path: '/run/secrets/weft-redis' }] })
  .transform((value): RedisSettings | undefined => {
    if (!value.enabled) return undefined
    if (value.url !== undefined) return { url: value.url }
    const secret = value.password === undefined ? undefined : encodeURIComponent(value.password)
    if (value.path !== undefined) return { url: `${value.path}?db=${value.dbid}${secret === undefined ? '' : `&password=${secret}`}` }
    const password = secret === undefined ? '' : `:${secret}@`
    const host = value.host.includes(':') ? `[${value.host}]` : value.host
    return { url: `${value.use_tls ? 'rediss' : 'redis'}://${password}${host}:${value.port}/${value.dbid}` }
  })

export const stores = {
  database: database
    .optional()
    .meta({ description: 'PostgreSQL, 14 to 18. Without this section `weft start` runs an embedded one under `data_dir`.' }),
  data_dir: z
    .string()
    .min(1)
    .default('data')
    .meta({ description: 'The folder of the embedded PostgreSQL; relative paths count from the folder of this file.' }),
  redis: redis.prefault({}).meta({
    description: 'Redis or Valkey, which announces what was committed from process to process. Nothing in it needs a backup.',
  }),
  caches: z
    .strictObject({
      room_heads: size()
        .prefault('32M')
        .meta({ description: 'Writer: heads of active rooms, with which a message is authorised without a read.' }),
      events: size().prefault('32M').meta({ description: 'Writer and sync: events by id.' }),
      timelines: size()
        .prefault('32M')
        .meta({ description: 'Sync: the latest events of active rooms, from which /sync answers without a read.' }),
      access_tokens: size().prefault('4M').meta({ description: 'Every process that authenticates: access tokens that were found valid.' }),
    })
    .prefault({})
    .meta({ description: 'Budgets of the caches of one process, in bytes.' }),
}
