import { z } from 'zod'
import { rateLimits } from './sections/rate-limits.ts'
import { registration } from './sections/registration.ts'
import { rooms } from './sections/rooms.ts'
import { secrets } from './sections/secrets.ts'
import { logging, network, server } from './sections/server.ts'
import { stores } from './sections/stores.ts'

/** The settings in the order in which people read them; the manual and the sample follow it. */
export const configGroups = [
  { title: 'Server', about: 'Who this server is.', settings: server },
  { title: 'Listeners and processes', about: 'Where it listens, and how its processes are run.', settings: network },
  { title: 'Database, Redis and caches', about: 'Where it keeps things.', settings: stores },
  {
    title: 'Keys and secrets',
    about: 'None of them has a default, and each has a `_path` variant that names a file which holds it.',
    settings: secrets,
  },
  { title: 'Rooms', about: 'What holds for all rooms.', settings: rooms },
  { title: 'Registration and login', about: 'Who may have an account, and how people prove who they are.', settings: registration },
  {
    title: 'Rate limits',
    about: "The limits are shared by all processes through Redis. The defaults are Synapse's. `false` in place of a limit switches it off.",
    settings: rateLimits,
  },
  { title: 'Log', about: 'What it writes about its work.', settings: logging },
] as const

/** The one definition of every setting: types, defaults, manual, sample and JSON Schema come from here. */
export const configSchema = z.strictObject({
  ...server,
  ...network,
  ...stores,
  ...secrets,
  ...rooms,
  ...registration,
  ...rateLimits,
  ...logging,
})

type Written = 'internal_secret_path' | 'worker_replication_secret_path' | 'worker_replication_secret' | 'registration_shared_secret_path'

/** The configuration as processes use it: Synapse's names, durations in ms, sizes in bytes, secrets read, paths absolute. */
export type Config = Omit<z.output<typeof configSchema>, Written | 'signing_key_path'> & {
  /** Absolute; the file may be missing in processes that do not sign. */
  readonly signing_key_path: string
}

/** One of `listeners`. */
export type Listener = Config['listeners'][number]
export type { RateLimit } from './sections/rate-limits.ts'
export type { DatabaseSettings, RedisSettings } from './sections/stores.ts'
