import { type Queryable, sql, type Tx } from './sql.ts'

/** A to-device message on its way into an inbox; `messageJson` is the event as the device will see it. */
export interface InboxMessage {
  readonly position: number
  readonly userId: string
  readonly deviceId: string
  readonly messageJson: string
}

const usage = sql<{ user_id: string; device_id: string; messages: number; bytes: number }>(
  'deviceInbox.usage',
  `SELECT i.user_id, i.device_id, count(*)::bigint AS messages, sum(octet_length(i.message_json))::bigint AS bytes
     FROM device_inbox i JOIN unnest($1::text[], $2::text[]) AS d(user_id, device_id) ON d.user_id = i.user_id AND d.device_id = i.device_id
    GROUP BY i.user_id, i.device_id`,
)
// The device's row is held, so that no message is left behind by a device that is deleted meanwhile.
const insert = sql(
  'deviceInbox.insert',
  `INSERT INTO device_inbox (stream_id, user_id, device_id, message_json)
   SELECT m.stream_id, m.user_id, m.device_id, m.message_json
     FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS m(stream_id, user_id, device_id, message_json)
     JOIN devices d ON d.user_id = m.user_id AND d.device_id = m.device_id
    ORDER BY m.user_id, m.device_id FOR KEY SHARE OF d`,
)
const removeDevices = sql('deviceInbox.removeDevices', 'DELETE FROM device_inbox WHERE user_id = $1 AND device_id = ANY($2::text[])')

/** Reads how much waits in the inboxes of devices. */
export class DeviceInboxReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** How much waits for each of those devices; a device with nothing waiting is absent. */
  async usage(
    devices: readonly { readonly userId: string; readonly deviceId: string }[],
  ): Promise<{ user_id: string; device_id: string; messages: number; bytes: number }[]> {
    return this.#db.query(usage, [devices.map((one) => one.userId), devices.map((one) => one.deviceId)])
  }
}

/** Puts messages into inboxes. What was delivered is deleted by /sync (SyncReader). */
export class DeviceInboxWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** Adds messages, but to devices that exist; those are held until the transaction ends. */
  async add(messages: readonly InboxMessage[]): Promise<void> {
    await this.#tx.query(insert, [
      messages.map((one) => one.position),
      messages.map((one) => one.userId),
      messages.map((one) => one.deviceId),
      messages.map((one) => one.messageJson),
    ])
  }

  /** Empties the inboxes of devices that are no more. */
  async deleteDevices(userId: string, deviceIds: readonly string[]): Promise<void> {
    await this.#tx.query(removeDevices, [userId, deviceIds])
  }
}
