import { type Queryable, type RoomsReader, removeStateGroups, type StateGroupInUse, type StateGroupUsesReader } from '@weft/storage'
import type { HeadCache } from './head-cache.ts'
import { withGate } from './receive/gate.ts'
import type { GroupStates } from './receive/group-states.ts'

/** Groups looked at in one go, and deleted in one transaction at most. */
const GROUPS_A_TIME = 500
/** Events looked through in one statement: a few ms. */
const EVENTS_A_TIME = 5000
/** Between two looks, so that what people wait for goes first. */
const PAUSE_MS = 50

export interface StateGroupCollectionOptions {
  readonly uses: StateGroupUsesReader
  readonly rooms: RoomsReader
  readonly heads: HeadCache
  readonly groupStates: GroupStates
  /** Runs a statement in a transaction that this writer's epoch fences. */
  readonly db: Queryable
  readonly clock: { setTimeout(fn: () => void, ms: number): unknown }
  readonly collected?: (groups: number) => void
}

/**
 * Deletes state groups that nothing refers to: a state that forks had between them, and that was another when something built on it.
 * A group is in use while an event has it as the state after it, while another group builds on it, or while the writer's memory of its
 * room does. The group of an event is not looked at, as its event has it.
 *
 * A group once in use by an event stays so, since events stay: what was looked at is not looked at again before the next start. What
 * deletes events has to start anew.
 *
 * Safe beside everything that writes, without holding any of it up: see {@link StateGroupCollection.run}.
 */
export class StateGroupCollection {
  readonly #o: StateGroupCollectionOptions
  /** All groups up to here were looked at. */
  #done = 0
  /** The newest group when the last run began: younger ones are left for later. */
  #mark: number | undefined
  /** Looked at, and in use by memory alone. */
  readonly #later = new Set<number>()

  constructor(options: StateGroupCollectionOptions) {
    this.#o = options
  }

  /**
   * Looks at the groups that were there at the last run and were not looked at yet. The first run after a start only notes where
   * to stop.
   *
   * Each room's unused groups pass two looks in this order: at memory, then at the tables. Who is to use a group must have its number
   * from one of the two. After the first look nobody has it from memory: the room was still for a moment, with everything built on its
   * head committed, and the head builds on other groups. After the second nobody has it from the tables either: no event names it, no
   * group builds on it. So it stays unused, and is deleted whenever that is convenient.
   * @returns how many groups were deleted
   * @throws the signal's reason, between two looks
   */
  async run(signal: AbortSignal): Promise<number> {
    const upTo = this.#mark ?? 0
    this.#mark = await this.#o.uses.newest()
    let collected = 0
    collected += await this.#again(signal)
    while (this.#done < upTo) {
      const page = await this.#o.uses.page(this.#done, upTo, GROUPS_A_TIME)
      collected += await this.#collect(page, signal)
      this.#done = page.length < GROUPS_A_TIME ? upTo : (page.at(-1) as StateGroupInUse).stateGroup
      await this.#pause(signal)
    }
    if (collected > 0) this.#o.collected?.(collected)
    return collected
  }

  async #again(signal: AbortSignal): Promise<number> {
    const later = [...this.#later]
    let collected = 0
    while (later.length > 0) {
      const groups = await this.#o.uses.byNumbers(later.splice(0, GROUPS_A_TIME))
      for (const { stateGroup } of groups) this.#later.delete(stateGroup)
      try {
        collected += await this.#collect(groups, signal)
      } catch (error) {
        this.#leave(groups.map(({ stateGroup }) => stateGroup))
        throw error
      }
    }
    return collected
  }

  async #collect(groups: readonly StateGroupInUse[], signal: AbortSignal): Promise<number> {
    let collected = 0
    // What is deleted may have been all that built on another one.
    for (let open = groups; open.length > 0; ) {
      const below: number[] = []
      for (const [roomNid, unused] of await this.#unused(open)) {
        const deleted = await this.#collectOf(roomNid, unused, signal)
        collected += deleted.length
        for (const prev of deleted) if (prev !== null) below.push(prev)
      }
      open = await this.#o.uses.byNumbers(below)
    }
    return collected
  }

  /** Those that no group with a row builds on, by room. */
  async #unused(groups: readonly StateGroupInUse[]): Promise<Map<number, number[]>> {
    const builtOn = await this.#o.uses.builtOn(groups.map(({ stateGroup }) => stateGroup))
    const unused = new Map<number, number[]>()
    for (const { stateGroup, roomNid } of groups) {
      if (builtOn.has(stateGroup)) continue
      const ofRoom = unused.get(roomNid)
      if (ofRoom === undefined) unused.set(roomNid, [stateGroup])
      else ofRoom.push(stateGroup)
    }
    return unused
  }

  /** @returns what the deleted groups built on */
  async #collectOf(roomNid: number, groups: readonly number[], signal: AbortSignal): Promise<Array<number | null>> {
    const unremembered = await this.#unremembered(roomNid, groups)
    const unnamed = await this.#unnamed(roomNid, unremembered, signal)
    if (unnamed.length === 0) return []
    return (await this.#o.db.query(removeStateGroups, [unnamed])).map((row) => row.prev_state_group)
  }

  /** Those that the writer's memory of the room does not refer to. */
  async #unremembered(roomNid: number, groups: readonly number[]): Promise<number[]> {
    const { heads, groupStates, rooms } = this.#o
    const [room] = await rooms.byNids([roomNid])
    if (room === undefined) return []
    if (heads.isSettling(room.roomId)) return this.#leave(groups)
    const head = heads.peek(room.roomId)
    let remembered = new Set<number>()
    if (head !== undefined) {
      await withGate(head, heads, async (gate) => {
        await gate.quiet()
        remembered = new Set(head.groups.stateGroups)
      })
      if (head.stale) return this.#leave(groups)
    }
    this.#leave(groups.filter((group) => remembered.has(group)))
    const others = groups.filter((group) => !remembered.has(group))
    groupStates.forget(others)
    return others
  }

  #leave(groups: readonly number[]): [] {
    for (const group of groups) this.#later.add(group)
    return []
  }

  /** Those that are the state after or before none of the room's events. Looks from the newest back, until all are found or all was seen. */
  async #unnamed(roomNid: number, groups: readonly number[], signal: AbortSignal): Promise<number[]> {
    const { uses } = this.#o
    if (groups.length === 0) return []
    const open = new Set(groups)
    const strike = (named: ReadonlySet<number>) => {
      for (const group of named) open.delete(group)
    }
    strike(await uses.namedOutside(roomNid, [...open]))
    for (let before: number | undefined = Number.MAX_SAFE_INTEGER; before !== undefined && open.size > 0; ) {
      const page: Awaited<ReturnType<typeof uses.namedInTimeline>> = await uses.namedInTimeline(roomNid, [...open], before, EVENTS_A_TIME)
      strike(page.named)
      before = page.next
      if (before !== undefined) await this.#pause(signal)
    }
    return [...open]
  }

  async #pause(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve) => void this.#o.clock.setTimeout(resolve, PAUSE_MS))
  }
}
