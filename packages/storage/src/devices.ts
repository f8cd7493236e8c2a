import { type Queryable, sql, type Tx } from './sql.ts'

/** A device as its owner sees it. `last_seen` in ms since the epoch. */
export type DeviceRow = {
  readonly device_id: string
  readonly display_name: string | null
  readonly last_seen: number | null
  readonly ip: string | null
  readonly user_agent: string | null
}

/** Where and when a device was last seen. */
export interface DeviceSighting {
  readonly userId: string
  readonly deviceId: string
  readonly ts: number
  readonly ip: string
  readonly userAgent: string
}

/** What a row of device_changes_stream says; the stream's definition in packages/replication has the same words. */
export type DeviceChange = 'device_created' | 'device_renamed' | 'device_deleted' | 'tokens_revoked' | 'account_changed'

const list = sql<DeviceRow>(
  'devices.list',
  'SELECT device_id, display_name, last_seen, ip, user_agent FROM devices WHERE user_id = $1 ORDER BY device_id',
)
const get = sql<DeviceRow>(
  'devices.get',
  'SELECT device_id, display_name, last_seen, ip, user_agent FROM devices WHERE user_id = $1 AND device_id = $2',
)
const idsOf = sql<{ user_id: string; device_id: string }>(
  'devices.idsOf',
  'SELECT user_id, device_id FROM devices WHERE user_id = ANY($1::text[])',
)
const insert = sql<{ device_id: string }>(
  'devices.insert',
  `INSERT INTO devices (user_id, device_id, display_name, last_seen, ip, user_agent) VALUES ($1, $2, $3, $4, $5, $6)
   ON CONFLICT (user_id, device_id) DO NOTHING RETURNING device_id`,
)
const rename = sql<{ device_id: string }>(
  'devices.rename',
  'UPDATE devices SET display_name = $3 WHERE user_id = $1 AND device_id = $2 RETURNING device_id',
)
const remove = sql<{ device_id: string }>(
  'devices.remove',
  'DELETE FROM devices WHERE user_id = $1 AND device_id = ANY($2::text[]) RETURNING device_id',
)
const removeAll = sql<{ device_id: string }>('devices.removeAll', 'DELETE FROM devices WHERE user_id = $1 RETURNING device_id')
const beyond = sql<{ device_id: string }>(
  'devices.beyond',
  `SELECT device_id FROM devices WHERE user_id = $1 AND device_id <> $2
    ORDER BY last_seen DESC NULLS LAST, device_id OFFSET $3`,
)
const see = sql(
  'devices.see',
  `UPDATE devices d SET last_seen = s.ts, ip = s.ip, user_agent = s.user_agent
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS s(user_id, device_id, ts, ip, user_agent)
    WHERE d.user_id = s.user_id AND d.device_id = s.device_id AND (d.last_seen IS NULL OR d.last_seen < s.ts)`,
)
const insertChange = sql(
  'devices.insertChange',
  `INSERT INTO device_changes_stream (stream_id, user_id, device_id, change, inserted_ts)
   SELECT i.stream_id, $2, i.device_id, $4, $5 FROM unnest($1::bigint[], $3::text[]) AS i(stream_id, device_id)`,
)

/** Reads devices. Times are ms since 1970. */
export class DevicesReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** All devices of the user; their number is capped where they are made. */
  async list(userId: string): Promise<DeviceRow[]> {
    return this.#db.query(list, [userId])
  }

  /** The device, if the user has it. */
  async get(userId: string, deviceId: string): Promise<DeviceRow | undefined> {
    return (await this.#db.query(get, [userId, deviceId]))[0]
  }

  /** The devices beyond the `keep` most recently seen ones, `except` aside. */
  async beyond(userId: string, keep: number, except: string): Promise<string[]> {
    return (await this.#db.query(beyond, [userId, except, keep])).map((row) => row.device_id)
  }

  /** The device ids of those users, by user id; a user without devices is absent. */
  async idsOf(userIds: readonly string[]): Promise<Map<string, Set<string>>> {
    const byUser = new Map<string, Set<string>>()
    if (userIds.length === 0) return byUser
    for (const row of await this.#db.query(idsOf, [userIds])) {
      const ids = byUser.get(row.user_id)
      if (ids === undefined) byUser.set(row.user_id, new Set([row.device_id]))
      else ids.add(row.device_id)
    }
    return byUser
  }
}

/** Makes, renames and deletes devices, and records it for device_changes_stream. */
export class DevicesWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** Creates the device. @returns false when the user already has one of that id, which stays as it is */
  async create(device: DeviceSighting & { displayName: string | undefined }): Promise<boolean> {
    const values = [device.userId, device.deviceId, device.displayName ?? null, device.ts, device.ip, device.userAgent]
    return (await this.#tx.query(insert, values)).length === 1
  }

  /** @returns false when there is no such device */
  async rename(userId: string, deviceId: string, displayName: string): Promise<boolean> {
    return (await this.#tx.query(rename, [userId, deviceId, displayName])).length === 1
  }

  /** @returns the ids of those that existed */
  async delete(userId: string, deviceIds: readonly string[]): Promise<string[]> {
    return (await this.#tx.query(remove, [userId, deviceIds])).map((row) => row.device_id)
  }

  /** @returns the ids of those that existed */
  async deleteAll(userId: string): Promise<string[]> {
    return (await this.#tx.query(removeAll, [userId])).map((row) => row.device_id)
  }

  /** Adds rows to device_changes_stream: one per device, or one for the whole account (`undefined`). */
  async recordChanges(
    userId: string,
    change: DeviceChange,
    changes: readonly { readonly position: number; readonly deviceId: string | undefined }[],
    insertedTs: number,
  ): Promise<void> {
    const positions = changes.map((one) => one.position)
    const deviceIds = changes.map((one) => one.deviceId ?? null)
    await this.#tx.query(insertChange, [positions, userId, deviceIds, change, insertedTs])
  }
}

/** Moves last_seen, ip and user_agent forwards, in one statement. At most one sighting per device. */
export async function recordSightings(db: Queryable, sightings: readonly DeviceSighting[]): Promise<void> {
  await db.query(see, [
    sightings.map((one) => one.userId),
    sightings.map((one) => one.deviceId),
    sightings.map((one) => one.ts),
    sightings.map((one) => one.ip),
    sightings.map((one) => one.userAgent),
  ])
}
