import type { Positions } from './positions.ts'
import { RecencyList, RecencyNode } from './recency.ts'
import type { Room, RoomFeed } from './room-feed.ts'

/** One change of a user's own membership. */
export interface MembershipChange {
  readonly position: number
  readonly membership: string
  /** Absent where the key left the state. */
  readonly eventNid: number | undefined
}

/** Changes kept for each room; when more come, an older `since` is answered from PostgreSQL. */
const MAX_CHANGES = 64

/** A room as one user has it. */
export class ViewRoom {
  readonly view: UserView
  readonly room: Room
  /** The membership at the view's floor, and the position of the event that made it. */
  base: MembershipChange
  /** Changes since then, oldest first. */
  changes: MembershipChange[] = []
  /** While the user is joined, the room's feed; after leaving, the one that has the way out. */
  feed: RoomFeed | undefined
  readonly byEvents: RecencyNode<ViewRoom> = new RecencyNode<ViewRoom>(this)
  readonly byReceipts: RecencyNode<ViewRoom> = new RecencyNode<ViewRoom>(this)
  readonly byTyping: RecencyNode<ViewRoom> = new RecencyNode<ViewRoom>(this)

  constructor(view: UserView, room: Room, base: MembershipChange) {
    this.view = view
    this.room = room
    this.base = base
  }

  /** As of the last change that came. */
  get latest(): MembershipChange {
    return this.changes.at(-1) ?? this.base
  }

  /** As of a position not below the view's floor. */
  at(position: number): MembershipChange {
    for (let i = this.changes.length - 1; i >= 0; i--) {
      const change = this.changes[i] as MembershipChange
      if (change.position <= position) return change
    }
    return this.base
  }

  /** The changes in (`since`, `until`]. */
  between(since: number, until: number): MembershipChange[] {
    if (this.changes.length === 0) return []
    return this.changes.filter((change) => change.position > since && change.position <= until)
  }
}

/** Why a waiting /sync goes on. */
export type WakeReason = 'news' | 'session' | 'timeout' | 'end'

export interface Waiter {
  readonly deviceId: string | undefined
  wake(reason: WakeReason): void
}

/** What this process knows of a device's inbox. */
export interface DeviceInbox {
  /** The last doorbell. */
  newest: number
  /** The last message handed to the device from here. */
  delivered: number
  /** Rows up to here are deleted; -1 while that is not known. */
  cleared: number
}

interface AccountDataEntry {
  readonly position: number
  readonly roomNid: number | undefined
  readonly type: string
  readonly content: string | undefined
}

/** Beyond this many bytes of account data that changed since the view was loaded, older answers come from PostgreSQL. */
const MAX_ACCOUNT_DATA_BYTES = 512 * 1024

/**
 * What one user's devices are shown, kept by the streams from the floor on: memberships, which rooms changed last, account data,
 * inboxes. Loaded when the user first polls here.
 */
export class UserView {
  readonly userId: string
  /** Below these positions PostgreSQL is asked. */
  floor: Positions
  readonly rooms = new Map<number, ViewRoom>()
  readonly recentEvents = new RecencyList<ViewRoom>()
  readonly recentReceipts = new RecencyList<ViewRoom>()
  readonly recentTyping = new RecencyList<ViewRoom>()
  ignored: ReadonlySet<string> = new Set()
  /** The user wants no invites. */
  blocksInvites = false
  readonly inboxes = new Map<string, DeviceInbox>()
  readonly waiters = new Set<Waiter>()
  /** Requests that are being answered; a view in use is never evicted. */
  active = 0
  lastUsed = 0
  /** Counts what came, so that a request knows whether it missed something while it was reading. */
  version = 0
  newestAccountData = 0
  readonly #accountData = new Map<number, Map<string, AccountDataEntry>>()
  #accountDataBytes = 0

  constructor(userId: string, floor: Positions) {
    this.userId = userId
    this.floor = floor
  }

  /** Notes a change of the user's own membership; one that is no news is left out. */
  changeMembership(room: Room, change: MembershipChange): ViewRoom | undefined {
    let entry = this.rooms.get(room.roomNid)
    if (entry === undefined) {
      entry = new ViewRoom(this, room, { position: 0, membership: 'leave', eventNid: undefined })
      this.rooms.set(room.roomNid, entry)
    }
    if (change.position <= entry.latest.position) return undefined
    entry.changes.push(change)
    if (entry.changes.length > MAX_CHANGES) {
      entry.base = entry.changes.shift() as MembershipChange
      this.floor = { ...this.floor, events: Math.max(this.floor.events, entry.base.position) }
    }
    this.recentEvents.touch(entry.byEvents, change.position)
    return entry
  }

  addAccountData(entry: AccountDataEntry): void {
    const key = entry.roomNid ?? 0
    let types = this.#accountData.get(key)
    if (types === undefined) {
      types = new Map()
      this.#accountData.set(key, types)
    }
    this.#accountDataBytes += weightOf(entry) - weightOf(types.get(entry.type))
    types.set(entry.type, entry)
    this.newestAccountData = entry.position
    if (this.#accountDataBytes > MAX_ACCOUNT_DATA_BYTES) {
      this.#accountData.clear()
      this.#accountDataBytes = 0
      this.floor = { ...this.floor, accountData: entry.position }
    }
  }

  /** What changed in (`since`, `until`], by position. */
  accountDataAfter(since: number, until: number): AccountDataEntry[] {
    if (this.newestAccountData <= since) return []
    const found: AccountDataEntry[] = []
    for (const types of this.#accountData.values()) {
      for (const entry of types.values()) if (entry.position > since && entry.position <= until) found.push(entry)
    }
    return found.sort((a, b) => a.position - b.position)
  }

  /** True when the view goes back to `since` and nothing came after it, inboxes aside. */
  isQuietSince(since: Positions): boolean {
    const { floor } = this
    return (
      since.events >= Math.max(floor.events, this.recentEvents.newest) &&
      since.receipts >= Math.max(floor.receipts, this.recentReceipts.newest) &&
      since.typing >= Math.max(floor.typing, this.recentTyping.newest) &&
      since.accountData >= Math.max(floor.accountData, this.newestAccountData)
    )
  }

  inbox(deviceId: string): DeviceInbox {
    let inbox = this.inboxes.get(deviceId)
    if (inbox === undefined) {
      inbox = { newest: 0, delivered: 0, cleared: -1 }
      this.inboxes.set(deviceId, inbox)
    }
    return inbox
  }

  /** About what it occupies in memory; measured on heaps with 1,000 rooms and with 2,000 ignored users. */
  get bytes(): number {
    return 2000 + this.rooms.size * 700 + this.#accountDataBytes + this.ignored.size * 100
  }

  /** Lets go of the rooms. */
  close(): void {
    for (const entry of this.rooms.values()) entry.feed?.viewers.delete(entry)
  }
}

function weightOf(entry: AccountDataEntry | undefined): number {
  return entry === undefined ? 0 : 200 + entry.type.length + (entry.content?.length ?? 0)
}
