import { type DeviceSighting, type Queryable, recordSightings } from '@weft/storage'
import type { Clock } from './ports.ts'

export interface LastSeenOptions {
  readonly db: Queryable
  readonly clock: Clock
  /** Devices remembered between two flushes; further ones are not noted until then. Default 50,000. */
  readonly maxDevices?: number
}

const DEFAULT_MAX_DEVICES = 50_000
const DEVICES_A_STATEMENT = 5_000
const MAX_USER_AGENT = 512

/**
 * Notes where devices were seen and writes it at each flush, once a minute: in memory until then, since losing a minute of
 * it harms nobody. Any class may run one: rows only ever move forwards in time.
 */
export class LastSeen {
  readonly #db: Queryable
  readonly #clock: Clock
  readonly #maxDevices: number
  #seen = new Map<string, Map<string, DeviceSighting>>()
  #devices = 0

  constructor(options: LastSeenOptions) {
    this.#db = options.db
    this.#clock = options.clock
    this.#maxDevices = options.maxDevices ?? DEFAULT_MAX_DEVICES
  }

  /** A request of this device came. Written at the next {@link flush}; requests without a device are not noted. */
  note(
    requester: { readonly userId: string; readonly deviceId: string | undefined },
    from: { readonly ip: string; readonly userAgent: string },
  ): void {
    const { userId, deviceId } = requester
    if (deviceId === undefined) return
    const devices = this.#seen.get(userId) ?? new Map<string, DeviceSighting>()
    const known = devices.has(deviceId)
    if (!known && this.#devices >= this.#maxDevices) return
    this.#seen.set(userId, devices)
    if (!known) this.#devices++
    devices.set(deviceId, { userId, deviceId, ts: this.#clock.now(), ip: from.ip, userAgent: cleanUserAgent(from.userAgent) })
  }

  /** Writes what was noted since the last flush. Sightings of a flush that fails are lost. */
  async flush(): Promise<void> {
    const seen = this.#seen
    this.#seen = new Map()
    this.#devices = 0
    const sightings = [...seen.values()].flatMap((devices) => [...devices.values()])
    for (let i = 0; i < sightings.length; i += DEVICES_A_STATEMENT) {
      await recordSightings(this.#db, sightings.slice(i, i + DEVICES_A_STATEMENT))
    }
  }
}

/** A user agent as a `text` column takes it: header bytes may be anything, its length too. */
export function cleanUserAgent(userAgent: string): string {
  return userAgent.slice(0, MAX_USER_AGENT).replaceAll('\0', '').toWellFormed()
}
