import { MatrixError } from '@weft/matrix'
import type { DeviceRow, DevicesReader } from '@weft/storage'

/** A device as clients see it. Spec: definitions/client_device.yaml. */
export interface ClientDevice {
  readonly device_id: string
  readonly display_name?: string
  readonly last_seen_ip?: string
  readonly last_seen_ts?: number
}

/** Reads a user's own devices. Spec: client-server API, "Device Management". */
export class DeviceReads {
  readonly #devices: DevicesReader

  constructor(devices: DevicesReader) {
    this.#devices = devices
  }

  /** All devices of the user, by device id. */
  async list(userId: string): Promise<ClientDevice[]> {
    return (await this.#devices.list(userId)).map(clientDevice)
  }

  /** @throws MatrixError M_NOT_FOUND */
  async get(userId: string, deviceId: string): Promise<ClientDevice> {
    const device = deviceId.includes('\0') ? undefined : await this.#devices.get(userId, deviceId)
    if (device === undefined) throw new MatrixError('M_NOT_FOUND', 'No such device')
    return clientDevice(device)
  }
}

function clientDevice(row: DeviceRow): ClientDevice {
  return {
    device_id: row.device_id,
    ...(row.display_name === null ? {} : { display_name: row.display_name }),
    ...(row.ip === null ? {} : { last_seen_ip: row.ip }),
    ...(row.last_seen === null ? {} : { last_seen_ts: row.last_seen }),
  }
}
