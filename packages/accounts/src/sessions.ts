import { isDeviceId, localpartOf, MatrixError } from '@weft/matrix'
import { type DeviceChangesRow, deviceChangesStream } from '@weft/replication'
import { DeviceInboxWriter, DevicesReader, DevicesWriter, TokensWriter, type Tx, UsersWriter } from '@weft/storage'
import { hashAccessToken, makeAccessToken, makeDeviceId } from './access-token.ts'
import { cleanUserAgent } from './last-seen.ts'
import type { StreamWrites, WriteStores } from './ports.ts'

/** Devices that a user may have; the one least recently seen makes room for a new one (R26). */
export const MAX_DEVICES = 500
const MAX_DEVICE_NAME_LENGTH = 512

/** What a client says of the device that it wants to log in. */
export interface DeviceRequest {
  readonly deviceId: string | undefined
  readonly displayName: string | undefined
  readonly ip: string
  readonly userAgent: string
}

/** A device that is logged in. */
export interface Session {
  readonly deviceId: string
  readonly accessToken: string
}

/** Waits until nobody believes any more what a row of device_changes has ended. */
export interface RevocationAcks {
  /** Resolves once all live instances have passed that position, or after a second. */
  waitForAcks(stream: typeof deviceChangesStream, position: number): Promise<unknown>
}

export interface SessionsOptions extends WriteStores {
  readonly acks: RevocationAcks
}

/** Makes and ends sessions: a session is a device with its access token. */
export class Sessions {
  readonly #streams: StreamWrites
  readonly #now: () => number
  readonly #devices: DevicesReader
  readonly #acks: RevocationAcks

  constructor(options: SessionsOptions) {
    this.#streams = options.streams
    this.#now = () => options.clock.now()
    this.#devices = new DevicesReader(options.db)
    this.#acks = options.acks
  }

  /**
   * Logs a device in. A device that the user already has keeps its name and loses its other tokens.
   * Spec: client-server API, "Relationship between access tokens and devices".
   *
   * @param within runs first, in the same transaction (registration creates the account there)
   * @throws MatrixError M_INVALID_PARAM for a device id or name that cannot be; M_USER_DEACTIVATED
   */
  async create(userId: string, request: DeviceRequest, within?: (tx: Tx) => Promise<void>): Promise<Session> {
    const deviceId = request.deviceId ?? makeDeviceId()
    checkDeviceRequest(request)
    const accessToken = makeAccessToken(localpartOf(userId))
    const now = this.#now()
    let created = false
    let revoked = 0
    let position = 0
    await this.#streams.write(deviceChangesStream, 1, async (tx, [at]) => {
      position = at!
      await within?.(tx)
      const account = await lockAccount(tx, userId)
      if (account?.deactivated !== false) throw new MatrixError('M_USER_DEACTIVATED', 'This account has been deactivated')
      const devices = new DevicesWriter(tx)
      const sighting = { userId, deviceId, ts: now, ip: request.ip, userAgent: cleanUserAgent(request.userAgent) }
      created = await devices.create({ ...sighting, displayName: request.displayName })
      const tokens = new TokensWriter(tx)
      revoked = created ? 0 : await tokens.deleteByDevices(userId, [deviceId])
      await tokens.create({ tokenHash: hashAccessToken(accessToken), userId, deviceId, createdTs: now })
      if (!created && revoked === 0) return []
      return this.#record(devices, userId, created ? 'device_created' : 'tokens_revoked', [{ position, deviceId }])
    })
    if (created) await this.#makeRoom(userId, deviceId)
    if (revoked > 0) await this.#acks.waitForAcks(deviceChangesStream, position)
    return { deviceId, accessToken }
  }

  /** Ends one session and deletes its device. Spec: POST /logout. */
  async logout(requester: {
    readonly userId: string
    readonly deviceId: string | undefined
    readonly accessTokenId: number
  }): Promise<void> {
    const { userId, deviceId } = requester
    if (deviceId !== undefined) {
      await this.deleteDevices(userId, [deviceId])
      return
    }
    await this.#end(userId, undefined, async (tx) => {
      await new TokensWriter(tx).deleteById(requester.accessTokenId)
    })
  }

  /** Ends all sessions of the user and deletes the devices. Spec: POST /logout/all. */
  async logoutAll(userId: string): Promise<void> {
    await this.#end(userId, undefined, async (tx) => {
      await new TokensWriter(tx).deleteByUser(userId)
      const deviceIds = await new DevicesWriter(tx).deleteAll(userId)
      await new DeviceInboxWriter(tx).deleteDevices(userId, deviceIds)
    })
  }

  /** Deletes devices with their tokens and inboxes; those that do not exist are passed over. Spec: DELETE /devices/{deviceId}. */
  async deleteDevices(userId: string, deviceIds: readonly string[]): Promise<void> {
    const wanted = [...new Set(deviceIds)]
    if (wanted.length === 0) return
    let last = 0
    let gone: string[] = []
    await this.#streams.write(deviceChangesStream, wanted.length, async (tx, positions) => {
      await lockAccount(tx, userId)
      await new TokensWriter(tx).deleteByDevices(userId, wanted)
      const devices = new DevicesWriter(tx)
      gone = await devices.delete(userId, wanted)
      if (gone.length === 0) return []
      await new DeviceInboxWriter(tx).deleteDevices(userId, gone)
      last = positions[gone.length - 1]!
      const changes = gone.map((deviceId, i) => ({ position: positions[i]!, deviceId }))
      return this.#record(devices, userId, 'device_deleted', changes)
    })
    if (gone.length > 0) await this.#acks.waitForAcks(deviceChangesStream, last)
  }

  /** Renames a device. @returns false when the user has no such device */
  async rename(userId: string, deviceId: string, displayName: string): Promise<boolean> {
    checkDeviceName(displayName)
    let found = false
    await this.#streams.write(deviceChangesStream, 1, async (tx, [position]) => {
      const devices = new DevicesWriter(tx)
      found = await devices.rename(userId, deviceId, displayName)
      return found ? this.#record(devices, userId, 'device_renamed', [{ position: position!, deviceId }]) : []
    })
    return found
  }

  async #makeRoom(userId: string, newDeviceId: string): Promise<void> {
    const beyond = await this.#devices.beyond(userId, MAX_DEVICES - 1, newDeviceId)
    await this.deleteDevices(userId, beyond)
  }

  async #end(userId: string, deviceId: string | undefined, revoke: (tx: Tx) => Promise<void>): Promise<void> {
    let position = 0
    await this.#streams.write(deviceChangesStream, 1, async (tx, [at]) => {
      position = at!
      await lockAccount(tx, userId)
      await revoke(tx)
      return this.#record(new DevicesWriter(tx), userId, 'tokens_revoked', [{ position, deviceId }])
    })
    await this.#acks.waitForAcks(deviceChangesStream, position)
  }

  async #record(
    devices: DevicesWriter,
    userId: string,
    change: DeviceChangesRow['change'],
    changes: readonly { readonly position: number; readonly deviceId: string | undefined }[],
  ): Promise<DeviceChangesRow[]> {
    await devices.recordChanges(userId, change, changes, this.#now())
    return changes.map(({ position, deviceId }) => ({ position, userId, change, ...(deviceId === undefined ? {} : { deviceId }) }))
  }
}

/** Sessions of one user change one after another: a login on a device that is being deleted must find it or make it. */
async function lockAccount(tx: Tx, userId: string): Promise<{ deactivated: boolean } | undefined> {
  return new UsersWriter(tx).lock(userId)
}

/** @throws MatrixError M_INVALID_PARAM */
export function checkDeviceRequest(request: { readonly deviceId: string | undefined; readonly displayName: string | undefined }): void {
  if (request.deviceId !== undefined && !isDeviceId(request.deviceId)) {
    throw new MatrixError('M_INVALID_PARAM', 'device_id must be 1 to 255 bytes without NUL')
  }
  if (request.displayName !== undefined) checkDeviceName(request.displayName)
}

function checkDeviceName(displayName: string): void {
  if (displayName.length > MAX_DEVICE_NAME_LENGTH) {
    throw new MatrixError('M_INVALID_PARAM', `A device's display name must not be longer than ${MAX_DEVICE_NAME_LENGTH} characters`)
  }
}
