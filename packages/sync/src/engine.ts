import { blocksInvites, ignoredUsersOf, requireRoomVersion, roomVersions } from '@weft/matrix'
import type {
  AccountDataRow,
  CurrentStateDeltasRow,
  DeviceChangesRow,
  EventsRow,
  ReceiptsRow,
  ToDeviceRow,
  TypingRow,
} from '@weft/replication'
import type { UserRoomRow } from '@weft/storage'
import type { EventStore } from './event-store.ts'
import type { Positions } from './positions.ts'
import { FEED_LIMITS, type FeedLimits, type Room, RoomFeed } from './room-feed.ts'
import { TimelineEvent } from './timeline-event.ts'
import { type MembershipChange, UserView, ViewRoom } from './user-view.ts'

/** Bounds of what a sync process keeps in memory. */
export interface EngineLimits {
  readonly feed: FeedLimits
  /** Bytes of all rooms' feeds together; beyond it those go that have been quiet for longest. */
  readonly feedBytes: number
  /** Bytes of all users' views together; beyond it the ones idle longest go. */
  readonly viewBytes: number
  /** A view that nobody polls for so long is dropped. */
  readonly viewIdleMs: number
  /** A room that nobody here reads any more is kept for so long: those who left it are still told how. */
  readonly feedIdleMs: number
}

/** What holds unless `caches` says otherwise. */
export const ENGINE_LIMITS: EngineLimits = {
  feed: FEED_LIMITS,
  feedBytes: 96 * 1024 * 1024,
  viewBytes: 96 * 1024 * 1024,
  viewIdleMs: 10 * 60_000,
  feedIdleMs: 60_000,
}

/** The account data by which a user's answers are made. */
export const VIEW_SETTINGS: readonly string[] = ['m.ignored_user_list', 'm.invite_permission_config']

/** What arrives for a user while the view is being loaded. */
interface Arrivals {
  readonly memberships: Array<{ readonly room: RoomRef; readonly change: MembershipChange }>
  /** Of {@link VIEW_SETTINGS}, by type. */
  readonly settings: Map<string, string>
}

interface RoomRef {
  readonly roomNid: number
  readonly roomId: string
}

/**
 * The memory of a sync process: users' views and rooms' feeds, kept by the streams. Reactions run synchronously in stream order;
 * whom they concern is woken once the batch is through.
 */
export class SyncEngine {
  readonly store: EventStore
  readonly limits: EngineLimits
  readonly views = new Map<string, UserView>()
  readonly feeds = new Map<number, RoomFeed>()
  /** Rooms where somebody is typing now, whoever reads them. */
  readonly #typing = new Map<number, { readonly position: number; readonly userIds: readonly string[] }>()
  readonly #loading = new Map<string, Set<Arrivals>>()
  readonly #woken = new Set<UserView>()
  readonly #onWake: (users: number) => void
  #flushing = false
  /** Of all feeds' events; what they hold beside is counted by each sweep. */
  #eventBytes = 0
  #otherBytes = 0
  #newestReceipt = 0

  /** @param options onWake is told how many users' waiting requests a batch of rows woke */
  constructor(options: { readonly store: EventStore; readonly limits?: EngineLimits; readonly onWake?: (users: number) => void }) {
    this.store = options.store
    this.limits = options.limits ?? ENGINE_LIMITS
    this.#onWake = options.onWake ?? (() => {})
  }

  get feedBytes(): number {
    return this.#eventBytes + this.#otherBytes
  }

  get viewBytes(): number {
    let bytes = 0
    for (const view of this.views.values()) bytes += view.bytes
    return bytes
  }

  /** From now on, what arrives for the user is noted for {@link addView}. */
  expectView(userId: string): Arrivals {
    const arrivals: Arrivals = { memberships: [], settings: new Map() }
    const expected = this.#loading.get(userId)
    if (expected === undefined) this.#loading.set(userId, new Set([arrivals]))
    else expected.add(arrivals)
    return arrivals
  }

  /** The view will not come: reading it failed. */
  forgetExpected(userId: string, arrivals: Arrivals): void {
    const expected = this.#loading.get(userId)
    expected?.delete(arrivals)
    if (expected?.size === 0) this.#loading.delete(userId)
  }

  /** Makes a view of what was read, and of what arrived since {@link expectView}; it holds from `now` on. */
  addView(
    userId: string,
    rows: readonly UserRoomRow[],
    settings: ReadonlyMap<string, string>,
    arrivals: Arrivals,
    now: Positions,
  ): UserView {
    this.forgetExpected(userId, arrivals)
    const newest = rows.reduce((highest, row) => Math.max(highest, row.position), now.events)
    const view = new UserView(userId, { ...now, events: newest })
    for (const [type, content] of [...settings, ...arrivals.settings]) set(view, type, content)
    for (const row of rows) {
      if (!roomVersions.has(row.roomVersion)) continue
      const room: Room = { roomNid: row.roomNid, roomId: row.roomId, version: requireRoomVersion(row.roomVersion) }
      const base = { position: row.position, membership: row.membership, eventNid: row.eventNid }
      const entry = new ViewRoom(view, room, base)
      view.rooms.set(row.roomNid, entry)
      if (row.membership === 'join') this.#enter(entry, now.events, now.receipts)
    }
    this.views.set(userId, view)
    for (const { room, change } of arrivals.memberships) this.#changeMembership(view, room, change)
    return view
  }

  /** Forgets a user's view; the next request reads it again. */
  dropView(view: UserView): void {
    view.close()
    this.views.delete(view.userId)
  }

  readonly events = (rows: readonly EventsRow[], texts: readonly (Buffer | undefined)[]): void => {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as EventsRow
      const feed = this.feeds.get(row.roomNid)
      if (row.redactsNid !== undefined) {
        const redaction = { nid: row.eventNid, eventId: row.eventId, json: texts[i]?.toString() }
        this.store.redacted(row.redactsNid, redaction, feed?.find(row.redactsNid))
      }
      if (feed === undefined) continue
      const event = new TimelineEvent(factsOf(row, feed.room), texts[i])
      const before = feed.bytes
      feed.addEvent(event)
      this.#eventBytes += feed.bytes - before
      if (row.stateKey !== undefined) this.store.add(event)
      for (const entry of feed.viewers) {
        entry.view.recentEvents.touch(entry.byEvents, row.position)
        this.#news(entry.view)
      }
    }
    if (this.feedBytes > this.limits.feedBytes) this.#trimFeeds()
  }

  readonly currentStateDeltas = (rows: readonly CurrentStateDeltasRow[]): void => {
    for (const row of rows) {
      const feed = this.feeds.get(row.roomNid)
      if (feed !== undefined) {
        feed.addDelta({ ...row, eventNid: row.eventNid, prevEventNid: row.prevEventNid })
        for (const entry of feed.viewers) {
          entry.view.recentEvents.touch(entry.byEvents, row.position)
          this.#news(entry.view)
        }
      }
      if (row.type !== 'm.room.member') continue
      const change = { position: row.position, membership: row.membership ?? 'leave', eventNid: row.eventNid }
      for (const arrivals of this.#loading.get(row.stateKey) ?? []) arrivals.memberships.push({ room: row, change })
      const view = this.views.get(row.stateKey)
      if (view !== undefined) this.#changeMembership(view, row, change)
    }
  }

  readonly receipts = (rows: readonly ReceiptsRow[]): void => {
    for (const row of rows) {
      this.#newestReceipt = row.position
      const feed = this.feeds.get(row.roomNid)
      if (feed === undefined) continue
      feed.addReceipt({ ...row, threadId: row.threadId })
      for (const entry of feed.viewers) {
        if (row.receiptType === 'm.read.private' && entry.view.userId !== row.userId) continue
        entry.view.recentReceipts.touch(entry.byReceipts, row.position)
        this.#news(entry.view)
      }
    }
  }

  readonly typing = (rows: readonly TypingRow[]): void => {
    for (const row of rows) {
      const now = { position: row.position, userIds: row.userIds }
      if (row.userIds.length === 0) this.#typing.delete(row.roomNid)
      else this.#typing.set(row.roomNid, now)
      const feed = this.feeds.get(row.roomNid)
      if (feed === undefined) continue
      feed.typing = now
      for (const entry of feed.viewers) {
        entry.view.recentTyping.touch(entry.byTyping, row.position)
        this.#news(entry.view)
      }
    }
  }

  readonly accountData = (rows: readonly AccountDataRow[]): void => {
    for (const row of rows) {
      const setting = row.roomNid === undefined && VIEW_SETTINGS.includes(row.type)
      if (setting) for (const arrivals of this.#loading.get(row.userId) ?? []) arrivals.settings.set(row.type, row.content ?? '{}')
      const view = this.views.get(row.userId)
      if (view === undefined) continue
      if (setting) set(view, row.type, row.content ?? '{}')
      view.addAccountData({ position: row.position, roomNid: row.roomNid, type: row.type, content: row.content })
      this.#news(view)
    }
  }

  readonly toDevice = (rows: readonly ToDeviceRow[]): void => {
    for (const row of rows) {
      const view = this.views.get(row.userId)
      if (view === undefined) continue
      view.inbox(row.deviceId).newest = row.position
      this.#news(view)
    }
  }

  /** A session may have ended: whoever waits with it asks PostgreSQL. */
  readonly deviceChanges = (rows: readonly DeviceChangesRow[]): void => {
    for (const row of rows) {
      const view = this.views.get(row.userId)
      if (view === undefined) continue
      if (row.change === 'device_deleted' && row.deviceId !== undefined) view.inboxes.delete(row.deviceId)
      if (row.change === 'device_created' || row.change === 'device_renamed') continue
      for (const waiter of [...view.waiters]) {
        if (row.deviceId === undefined || row.deviceId === waiter.deviceId) waiter.wake('session')
      }
    }
  }

  /** Drops what was not used for long, or is too much. @param now monotonic milliseconds */
  sweep(now: number): void {
    const idle = [...this.views.values()].filter((view) => view.active === 0).sort((a, b) => a.lastUsed - b.lastUsed)
    let bytes = this.viewBytes
    for (const view of idle) {
      if (now - view.lastUsed < this.limits.viewIdleMs && bytes <= this.limits.viewBytes) break
      bytes -= view.bytes
      this.dropView(view)
    }
    for (const feed of this.feeds.values()) {
      if (feed.viewers.size > 0) feed.deserted = undefined
      else if (feed.deserted === undefined) feed.deserted = now
      else if (now - feed.deserted >= this.limits.feedIdleMs) {
        this.feeds.delete(feed.room.roomNid)
        this.#eventBytes -= feed.bytes
      }
    }
    this.#trimFeeds()
  }

  #changeMembership(view: UserView, ref: RoomRef, change: MembershipChange): void {
    const known = view.rooms.get(ref.roomNid)?.room ?? this.feeds.get(ref.roomNid)?.room
    const room = known ?? { roomNid: ref.roomNid, roomId: ref.roomId, version: undefined }
    const entry = view.changeMembership(room, change)
    if (entry === undefined) return
    if (change.membership === 'join') this.#enter(entry, change.position - 1, Math.max(view.floor.receipts, this.#newestReceipt))
    else entry.feed?.viewers.delete(entry)
    this.#news(view)
  }

  #enter(entry: ViewRoom, eventsFloor: number, receiptsFloor: number): void {
    const { room } = entry
    let feed = this.feeds.get(room.roomNid)
    if (feed === undefined) {
      feed = new RoomFeed(room, { events: eventsFloor, receipts: receiptsFloor }, this.limits.feed)
      feed.typing = this.#typing.get(room.roomNid) ?? feed.typing
      this.feeds.set(room.roomNid, feed)
    }
    entry.feed = feed
    feed.viewers.add(entry)
  }

  #news(view: UserView): void {
    view.version++
    if (view.waiters.size === 0) return
    this.#woken.add(view)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#flushing = false
    const views = [...this.#woken]
    this.#woken.clear()
    this.#onWake(views.length)
    for (const view of views) for (const waiter of [...view.waiters]) waiter.wake('news')
  }

  /**
   * Counts what feeds hold, and clears the quietest rooms' until all together fit again, with some room to spare: sorting them is not for
   * every event.
   */
  #trimFeeds(): void {
    this.#otherBytes = 0
    for (const feed of this.feeds.values()) this.#otherBytes += feed.otherBytes
    if (this.feedBytes <= this.limits.feedBytes) return
    for (const feed of [...this.feeds.values()].sort((a, b) => a.newest - b.newest)) {
      if (this.feedBytes <= this.limits.feedBytes * 0.8) return
      this.#eventBytes -= feed.bytes
      this.#otherBytes -= feed.otherBytes
      feed.clear()
    }
  }
}

/** Lets a setting of the user take effect. */
function set(view: UserView, type: string, content: string): void {
  if (type === 'm.ignored_user_list') view.ignored = ignoredUsersOf(content)
  if (type === 'm.invite_permission_config') view.blocksInvites = blocksInvites(content)
}

function factsOf(row: EventsRow, room: Room) {
  return {
    nid: row.eventNid,
    eventId: row.eventId,
    roomNid: row.roomNid,
    position: row.position,
    type: row.type,
    stateKey: row.stateKey,
    sender: row.sender,
    originServerTs: row.originServerTs,
    version: room.version,
    replacesNid: row.replacesNid,
    transaction: row.txnDeviceId === undefined || row.txnId === undefined ? undefined : { deviceId: row.txnDeviceId, txnId: row.txnId },
  }
}
