import { MatrixError, type RoomVersion, StateMap } from '@weft/matrix'
import { contentOf, type EventsReader, type RoomsReader, type StateReader } from '@weft/storage'
import type { IdSource } from './ids.ts'
import { knownVersion } from './known-version.ts'
import { Turns } from './receive/turns.ts'
import { keptContent, RoomHead, type StateEntry } from './room-head.ts'
import type { StateDelta } from './state-delta.ts'
import { StateGroupChain } from './state-groups.ts'

/** What the cache tells about itself. */
export interface HeadCacheFigures {
  readonly rooms: number
  readonly bytes: number
  readonly loads: number
}

/**
 * The heads of active rooms, bounded in bytes: least recently used ones go first, those with uncommitted events never.
 * A head is loaded once for all who wait, and never while events built on an earlier head of that room are being committed.
 */
export class HeadCache {
  readonly #rooms: RoomsReader
  readonly #events: EventsReader
  readonly #state: StateReader
  readonly #stateGroups: IdSource
  readonly #maxBytes: number
  readonly #heads = new Map<string, RoomHead>()
  readonly #sizes = new Map<string, number>()
  readonly #loading = new Map<string, Promise<RoomHead>>()
  readonly #draining = new Map<string, { head: RoomHead; wake: Array<() => void> }>()
  /**
   * Heads that are out of the cache and may be in somebody's hands, who waits for something else: they come back before the room is read
   * again, since of two heads of a room one would not know the other's events.
   */
  readonly #evicted = new Map<string, WeakRef<RoomHead>>()
  readonly #collected = new FinalizationRegistry<string>((roomId) => {
    if (this.#evicted.get(roomId)?.deref() === undefined) this.#evicted.delete(roomId)
  })
  #bytes = 0
  #loads = 0

  constructor(options: { rooms: RoomsReader; events: EventsReader; state: StateReader; stateGroups: IdSource; maxBytes: number }) {
    this.#rooms = options.rooms
    this.#events = options.events
    this.#state = options.state
    this.#stateGroups = options.stateGroups
    this.#maxBytes = options.maxBytes
  }

  /** The head if it is in memory. */
  cached(roomId: string): RoomHead | undefined {
    const head = this.#heads.get(roomId)
    if (head === undefined) return this.#returned(roomId)
    this.#heads.delete(roomId)
    this.#heads.set(roomId, head)
    return head
  }

  /** The head as long as somebody may have it, for who only looks: it does not count as a use. */
  peek(roomId: string): RoomHead | undefined {
    return this.#heads.get(roomId) ?? this.#evicted.get(roomId)?.deref()
  }

  /** True while what was built on a dropped head of the room is under way. */
  isSettling(roomId: string): boolean {
    return this.#draining.has(roomId)
  }

  /** The head of the room. @throws MatrixError M_NOT_FOUND when there is no such room */
  async get(roomId: string): Promise<RoomHead> {
    const head = this.cached(roomId)
    if (head !== undefined) return head
    let loading = this.#loading.get(roomId)
    if (loading === undefined) {
      loading = this.#load(roomId).finally(() => this.#loading.delete(roomId))
      this.#loading.set(roomId, loading)
    }
    return loading
  }

  /** Enters the head of a new room, or accounts for one that has changed; evicts what is over the budget. */
  keep(head: RoomHead): void {
    if (head.stale) return
    const before = this.#sizes.get(head.roomId) ?? 0
    const bytes = head.bytes
    this.#heads.delete(head.roomId)
    this.#heads.set(head.roomId, head)
    if (this.#evicted.delete(head.roomId)) this.#collected.unregister(head)
    this.#sizes.set(head.roomId, bytes)
    this.#bytes += bytes - before
    if (this.#bytes > this.#maxBytes) this.#evict()
  }

  /** Drops a head after a failed commit. The next load waits until nothing built on it is under way. */
  drop(head: RoomHead): void {
    head.stale = true
    if (this.peek(head.roomId) !== head) return
    this.#forget(head.roomId)
    this.#evicted.delete(head.roomId)
    if (head.pending > 0) this.#draining.set(head.roomId, { head, wake: [] })
  }

  /** Tells that one submission built on the head has ended. */
  settled(head: RoomHead): void {
    head.pending--
    head.onSettled?.()
    if (head.pending > 0 || !head.stale) return
    const draining = this.#draining.get(head.roomId)
    if (draining?.head !== head) return
    this.#draining.delete(head.roomId)
    for (const wake of draining.wake) wake()
  }

  /** Drops every head, so that tests meet rooms as a writer that has just begun does. */
  clear(): void {
    for (const roomId of [...this.#heads.keys(), ...this.#evicted.keys()]) {
      const head = this.peek(roomId)
      if (head !== undefined) this.drop(head)
    }
  }

  get figures(): HeadCacheFigures {
    return { rooms: this.#heads.size, bytes: this.#bytes, loads: this.#loads }
  }

  async #load(roomId: string): Promise<RoomHead> {
    const draining = this.#draining.get(roomId)
    if (draining !== undefined) await new Promise<void>((resolve) => draining.wake.push(resolve))
    const room = await this.#rooms.byRoomId(roomId)
    if (room === undefined) throw new MatrixError('M_NOT_FOUND', `Unknown room ${roomId}`)
    const version = knownVersion(room)
    const [state, newest, fork] = await Promise.all([
      this.#currentState(room.roomNid, roomId, version),
      this.#events.newestInRoom(room.roomNid),
      this.#events.forkExtremities(room.roomNid),
    ])
    const forked = fork.length > 0
    const extremities = forked ? fork : newest === undefined ? [] : [newest]
    const stateGroup = extremities[0]?.state_group
    const groups = stateGroup == null ? StateGroupChain.empty() : StateGroupChain.load(await this.#state.groupChain(stateGroup))
    // What forks have between them may be the state of no event, so that no row has it.
    const change = forked ? stateChange(groups.state(), state) : new Map<number, number>()
    const unwrittenGroup =
      change.size === 0 ? undefined : groups.append((await this.#stateGroups.take(1))[0] as number, room.roomNid, change, state.size)
    const head = new RoomHead({
      roomNid: room.roomNid,
      roomId,
      version,
      groups,
      unwrittenGroup,
      state,
      extremities: extremities.map((e) => ({
        eventNid: e.event_nid,
        eventId: e.event_id,
        depth: e.depth,
        stateGroup: e.state_group ?? undefined,
      })),
      storedFork: forked,
    })
    this.#loads++
    this.keep(head)
    return head
  }

  #returned(roomId: string): RoomHead | undefined {
    const head = this.#evicted.get(roomId)?.deref()
    if (head !== undefined) this.keep(head)
    return head
  }

  /** Read page by page and in turns: that of a room of 20,000 members takes 100 ms in all. */
  async #currentState(roomNid: number, roomId: string, version: RoomVersion): Promise<StateMap<StateEntry>> {
    const state = new StateMap<StateEntry>()
    const turns = new Turns()
    for await (const page of this.#state.current(roomNid)) {
      for (const row of page) {
        await turns.rest()
        const content = contentOf(row, version, row.redactedBy !== undefined)
        state.set(row.type, row.stateKey, {
          stateKeyNid: row.stateKeyNid,
          eventNid: row.eventNid,
          eventId: row.eventId,
          sender: row.sender,
          type: row.type,
          stateKey: row.stateKey,
          content: keptContent(row.type, content),
          roomId: version.roomIdIsCreateHash && row.type === 'm.room.create' ? undefined : roomId,
          authDepth: row.authDepth,
        })
      }
    }
    return state
  }

  #evict(): void {
    for (const [roomId, head] of this.#heads) {
      if (this.#bytes <= this.#maxBytes || this.#heads.size === 1) return
      if (head.pending > 0) continue
      this.#forget(roomId)
      this.#evicted.set(roomId, new WeakRef(head))
      this.#collected.register(head, roomId, head)
    }
  }

  #forget(roomId: string): void {
    this.#bytes -= this.#sizes.get(roomId) ?? 0
    this.#sizes.delete(roomId)
    this.#heads.delete(roomId)
  }
}

/** What has to change in a state to make it the current one. */
function stateChange(state: StateDelta, current: StateMap<StateEntry>): StateDelta {
  const change: StateDelta = new Map()
  const gone = new Set(state.keys())
  for (const [, , { stateKeyNid, eventNid }] of current.entries()) {
    gone.delete(stateKeyNid)
    if (state.get(stateKeyNid) !== eventNid) change.set(stateKeyNid, eventNid)
  }
  for (const key of gone) change.set(key, 0)
  return change
}
