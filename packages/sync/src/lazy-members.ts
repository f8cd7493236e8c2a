interface Known {
  readonly nid: number
  /** The position of the answer it was sent with: a client that syncs from there on has it. */
  readonly at: number
}

/** Members remembered for one device; beyond it the oldest are sent again, which is allowed. */
const MAX_MEMBERS = 5000

/**
 * Which member events each device was sent, so that lazy-loading leaves out what is redundant. What was sent counts only once
 * the device syncs from a later token: an answer may be lost and its request repeated.
 * Spec: client-server API, "Lazy-loading room members".
 */
export class LazyMembers {
  readonly #devices = new Map<string, Map<number, Map<string, Known>>>()
  readonly #sizes = new Map<string, number>()
  readonly #maxDevices: number

  /** @param maxDevices devices remembered; those idle longest are forgotten first */
  constructor(maxDevices = 10_000) {
    this.#maxDevices = maxDevices
  }

  get devices(): number {
    return this.#devices.size
  }

  /**
   * @param joined where the reader's own membership began: a client that comes back to a room knows nobody there
   * @param since what the client has by its token
   */
  knows(device: string, roomNid: number, userId: string, nid: number, joined: number, since: number): boolean {
    const known = this.#devices.get(device)?.get(roomNid)?.get(userId)
    return known !== undefined && known.nid === nid && known.at >= joined && known.at <= since
  }

  sent(device: string, roomNid: number, userId: string, nid: number, at: number): void {
    let rooms = this.#devices.get(device)
    if (rooms === undefined) {
      rooms = new Map()
      if (this.#devices.size >= this.#maxDevices) this.forget(this.#devices.keys().next().value as string)
      this.#devices.set(device, rooms)
    }
    let members = rooms.get(roomNid)
    if (members === undefined) {
      members = new Map()
      rooms.set(roomNid, members)
    }
    const known = members.get(userId)
    if (known?.nid === nid && known.at <= at) return
    if (known === undefined) {
      const size = (this.#sizes.get(device) ?? 0) + 1
      this.#sizes.set(device, size)
      if (size > MAX_MEMBERS) this.#shrink(device, rooms)
    }
    members.set(userId, { nid, at })
  }

  /** The device starts anew. */
  forget(device: string): void {
    this.#devices.delete(device)
    this.#sizes.delete(device)
  }

  #shrink(device: string, rooms: Map<number, Map<string, Known>>): void {
    const oldest = rooms.keys().next().value
    if (oldest === undefined) return
    this.#sizes.set(device, (this.#sizes.get(device) ?? 0) - (rooms.get(oldest)?.size ?? 0))
    rooms.delete(oldest)
  }
}
