interface Known {
  readonly nid: number
  /** The position of the answer it was sent with: a client that syncs from there on has it. */
  readonly at: number
}

/** What one device was sent: by room, then by user. */
interface Device {
  readonly rooms: Map<number, Map<string, Known>>
  members: number
  bytes: number
}

/** Bytes of members remembered for all devices: some 400,000 members. */
const MAX_BYTES = 64 * 1024 * 1024
/** Members remembered for one device; beyond it those of its oldest room are sent again, which is allowed. */
const MAX_MEMBERS = 5000
/** What a member, a room's and a device's entry occupy besides their keys' text: 85 bytes a member were measured, 154 with a text of its own. */
const MEMBER_BYTES = 130
const ROOM_BYTES = 250
const DEVICE_BYTES = 500

/**
 * Which member events each device was sent, so that lazy-loading leaves out what is redundant. What was sent counts only once
 * the device syncs from a later token: an answer may be lost and its request repeated.
 * Spec: client-server API, "Lazy-loading room members".
 */
export class LazyMembers {
  /** Least recently used first. */
  readonly #devices = new Map<string, Device>()
  readonly #maxBytes: number
  #newest: Device | undefined
  #bytes = 0

  /** @param maxBytes of what is remembered of all devices; those that were idle longest are forgotten first */
  constructor(maxBytes = MAX_BYTES) {
    this.#maxBytes = maxBytes
  }

  /** What is remembered, by estimate. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * @param joined where the reader's own membership began: a client that comes back to a room knows nobody there
   * @param since what the client has by its token
   */
  knows(device: string, roomNid: number, userId: string, nid: number, joined: number, since: number): boolean {
    const known = this.#used(device)?.rooms.get(roomNid)?.get(userId)
    return known !== undefined && known.nid === nid && known.at >= joined && known.at <= since
  }

  sent(device: string, roomNid: number, userId: string, nid: number, at: number): void {
    const entry = this.#used(device) ?? this.#enter(device)
    const known = entry.rooms.get(roomNid)?.get(userId)
    if (known?.nid === nid && known.at <= at) return
    if (known === undefined && entry.members >= MAX_MEMBERS) this.#forgetOldestRoom(entry)
    let members = entry.rooms.get(roomNid)
    if (members === undefined) {
      members = new Map()
      entry.rooms.set(roomNid, members)
      this.#add(entry, ROOM_BYTES)
    }
    members.set(userId, { nid, at })
    if (known !== undefined) return
    entry.members++
    this.#add(entry, MEMBER_BYTES + userId.length)
    if (this.#bytes > this.#maxBytes) this.#evict(entry)
  }

  /** The device starts anew. */
  forget(device: string): void {
    const entry = this.#devices.get(device)
    if (entry === undefined) return
    this.#devices.delete(device)
    this.#bytes -= entry.bytes
    if (this.#newest === entry) this.#newest = undefined
  }

  #used(device: string): Device | undefined {
    const entry = this.#devices.get(device)
    // Asked for each member of an answer: the device of the last question is in its place.
    if (entry === undefined || entry === this.#newest) return entry
    this.#devices.delete(device)
    this.#devices.set(device, entry)
    this.#newest = entry
    return entry
  }

  #enter(device: string): Device {
    const entry = { rooms: new Map(), members: 0, bytes: 0 }
    this.#devices.set(device, entry)
    this.#newest = entry
    this.#add(entry, DEVICE_BYTES + device.length)
    return entry
  }

  #add(entry: Device, bytes: number): void {
    entry.bytes += bytes
    this.#bytes += bytes
  }

  #forgetOldestRoom(entry: Device): void {
    for (const [roomNid, members] of entry.rooms) {
      entry.rooms.delete(roomNid)
      entry.members -= members.size
      let bytes = ROOM_BYTES
      for (const userId of members.keys()) bytes += MEMBER_BYTES + userId.length
      this.#add(entry, -bytes)
      return
    }
  }

  #evict(but: Device): void {
    for (const [device, entry] of this.#devices) {
      if (this.#bytes <= this.#maxBytes || entry === but) return
      this.forget(device)
    }
  }
}
