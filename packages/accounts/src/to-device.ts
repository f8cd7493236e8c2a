import { canonicalJson, isJsonObject, type JsonObject, MatrixError, own, parseUserId } from '@weft/matrix'
import { type ToDeviceRow, toDeviceStream } from '@weft/replication'
import { DeviceInboxReader, DeviceInboxWriter, DevicesReader, RequestTxnIdsWriter, requestTxnKey } from '@weft/storage'
import type { WriteStores } from './ports.ts'

/** R26: the devices one request may reach, the bytes of one message, and what may wait for one device. */
export const toDeviceLimits = {
  messages: 10_000,
  messageBytes: 64 << 10,
  inboxMessages: 20_000,
  inboxBytes: 32 << 20,
} as const

export interface ToDeviceOptions extends WriteStores {
  readonly serverName: string
}

export interface ToDeviceRequest {
  readonly sender: string
  /** What tells one session of the sender from another: the device id. */
  readonly session: string
  readonly txnId: string
  readonly type: string
  /** User id -> device id or `*` -> content. */
  readonly messages: JsonObject
}

interface Target {
  readonly userId: string
  readonly deviceId: string
  readonly messageJson: string
}

/** Puts messages into the inboxes of devices. Spec: client-server API, "Send-to-Device messaging". */
export class ToDevice {
  readonly #options: ToDeviceOptions
  readonly #devices: DevicesReader
  readonly #inbox: DeviceInboxReader

  constructor(options: ToDeviceOptions) {
    this.#options = options
    this.#devices = new DevicesReader(options.db)
    this.#inbox = new DeviceInboxReader(options.db)
  }

  /**
   * Delivers once per (session, type, txnId). Users and devices that this server does not know are passed over: a client learns
   * nothing from that, and those of other servers wait for federation. A full inbox takes nothing more.
   *
   * @throws MatrixError M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE
   */
  async send(request: ToDeviceRequest): Promise<void> {
    const { streams, clock } = this.#options
    if (request.type === '' || request.type.includes('\0') || Buffer.byteLength(request.type) > 255) {
      throw new MatrixError('M_INVALID_PARAM', 'The event type must be 1 to 255 bytes without NUL')
    }
    const wanted = readMessages(request.messages)
    const key = requestTxnKey(request.sender, request.session, ['sendToDevice', request.type, request.txnId])
    const targets = await this.#withRoom(await this.#resolve(request, wanted))
    if (targets.length === 0) return
    await streams.write(toDeviceStream, targets.length, async (tx, positions) => {
      if (!(await new RequestTxnIdsWriter(tx).claim(key, clock.now()))) return []
      const placed = targets.map((target, i) => ({ ...target, position: positions[i]! }))
      await new DeviceInboxWriter(tx).add(placed)
      return placed.map(({ position, userId, deviceId }): ToDeviceRow => ({ position, userId, deviceId }))
    })
  }

  /** The devices that are there, each with its message; one named by its id wins over `*`. */
  async #resolve(request: ToDeviceRequest, wanted: ReadonlyMap<string, ReadonlyMap<string, JsonObject>>): Promise<Target[]> {
    const local = [...wanted.keys()].filter((userId) => parseUserId(userId)?.serverName === this.#options.serverName)
    const existing = await this.#devices.idsOf(local)
    const targets: Target[] = []
    for (const [userId, deviceIds] of existing) {
      const contents = wanted.get(userId)!
      const everyone = contents.get('*')
      const texts = new Map<JsonObject, string>()
      for (const deviceId of deviceIds) {
        const content = contents.get(deviceId) ?? everyone
        if (content === undefined) continue
        const messageJson = texts.get(content) ?? messageText(request, content)
        texts.set(content, messageJson)
        targets.push({ userId, deviceId, messageJson })
      }
    }
    if (targets.length > toDeviceLimits.messages) throw new MatrixError('M_TOO_LARGE', 'Too many devices in one request')
    return targets
  }

  /** Without the devices whose inboxes are full. */
  async #withRoom(targets: readonly Target[]): Promise<readonly Target[]> {
    if (targets.length === 0) return targets
    const full = new Map<string, Set<string>>()
    for (const used of await this.#inbox.usage(targets)) {
      if (used.messages < toDeviceLimits.inboxMessages && used.bytes < toDeviceLimits.inboxBytes) continue
      const ids = full.get(used.user_id) ?? new Set()
      full.set(used.user_id, ids.add(used.device_id))
    }
    return full.size === 0 ? targets : targets.filter((target) => full.get(target.userId)?.has(target.deviceId) !== true)
  }
}

/** The messages by user and device. Keys come from the client, so they stand in Maps (R43). */
function readMessages(messages: JsonObject): Map<string, Map<string, JsonObject>> {
  const byUser = new Map<string, Map<string, JsonObject>>()
  for (const userId of Object.keys(messages)) {
    const devices = own(messages, userId)
    if (!isJsonObject(devices)) throw new MatrixError('M_BAD_JSON', 'Each user in messages must have an object of devices')
    const byDevice = new Map<string, JsonObject>()
    for (const deviceId of Object.keys(devices)) {
      const content = own(devices, deviceId)
      if (!isJsonObject(content)) throw new MatrixError('M_BAD_JSON', 'Each message must be an object')
      byDevice.set(deviceId, content)
    }
    // NUL cannot be looked up, and no user of this server has it.
    if (!userId.includes('\0')) byUser.set(userId, byDevice)
  }
  return byUser
}

/** The event as /sync shows it. Spec: "Extensions to /sync". */
function messageText(request: ToDeviceRequest, content: JsonObject): string {
  const text = canonicalJson({ content, sender: request.sender, type: request.type })
  if (Buffer.byteLength(text) > toDeviceLimits.messageBytes) throw new MatrixError('M_TOO_LARGE', 'A message is too large')
  return text
}
