import { groupOfEvent, type StateEntryNids, type StateGroupRow } from '@weft/storage'
import { applyDelta, decodeDelta, encodeDelta, findInDelta, mergeDeltas, type StateDelta } from './state-delta.ts'

/**
 * State groups reach back in steps of 1, 16, 256 …: a group at height h builds on the one at h - 16^k, for the largest 16^k
 * that divides h, and holds the merged delta since. A state is so read in at most 15 rows a level, and the bytes of n changes
 * grow as n log n, where a snapshot every hundred rows is quadratic in a big room.
 * When the merged delta passes half the state, the group becomes a snapshot: it builds on nothing.
 *
 * The group of a state event has the event's number below 0. Those of the first step, fifteen of sixteen, need no row: the event
 * itself says what state it changed, and its row names that one.
 */
const FANOUT = 16

/** A step of the chain behind the current group: a group and its delta, decoded when somebody needs all of it. */
class Link {
  readonly stateGroup: number
  readonly height: number
  #delta: StateDelta | undefined
  #bytes: Uint8Array | undefined

  constructor(stateGroup: number, height: number, delta: StateDelta | StateGroupRow['delta']) {
    this.stateGroup = stateGroup
    this.height = height
    if (delta instanceof Uint8Array) this.#bytes = delta
    else this.#delta = delta instanceof Map ? delta : new Map([delta])
  }

  get delta(): StateDelta {
    this.#delta ??= decodeDelta(this.#bytes as Uint8Array)
    this.#bytes = undefined
    return this.#delta
  }

  /** What the delta says of these keys, without decoding it whole. */
  find(keys: ReadonlySet<number>, found: Map<number, number>): void {
    if (this.#bytes !== undefined) {
      findInDelta(this.#bytes, keys, found)
      return
    }
    for (const key of keys) {
      const event = this.#delta?.get(key)
      if (event !== undefined && !found.has(key)) found.set(key, event)
    }
  }

  get bytes(): number {
    return 80 + (this.#bytes?.length ?? (this.#delta as StateDelta).size * 40)
  }
}

/** The chain of a state group: what is needed to write the next one without reading. */
export class StateGroupChain {
  /** Newest first. */
  #links: Link[]

  private constructor(links: Link[]) {
    this.#links = links
  }

  static empty(): StateGroupChain {
    return new StateGroupChain([])
  }

  /**
   * @param rows the group and all it builds on, newest first (`StateReader.groupChain`)
   * @param like another chain of the room: what the two have in common is in memory once
   */
  static load(rows: readonly StateGroupRow[], like?: StateGroupChain): StateGroupChain {
    const shared = new Map((like ?? StateGroupChain.empty()).#links.map((link) => [link.stateGroup, link]))
    return new StateGroupChain(rows.map((row) => shared.get(row.stateGroup) ?? new Link(row.stateGroup, row.height, row.delta)))
  }

  /** The newest group. */
  get stateGroup(): number | undefined {
    return this.#links[0]?.stateGroup
  }

  /** The newest group and all it builds on. */
  get stateGroups(): number[] {
    return this.#links.map((link) => link.stateGroup)
  }

  /** The whole state: state_key_nid to event_nid. */
  state(): StateDelta {
    const state: StateDelta = new Map()
    for (let i = this.#links.length - 1; i >= 0; i--) applyDelta(state, (this.#links[i] as Link).delta)
    return state
  }

  /** What the state has at these keys; those it has not are left out. */
  at(keys: Iterable<number>): Map<number, number> {
    const found = new Map<number, number>()
    const open = new Set(keys)
    for (const link of this.#links) {
      if (open.size === 0) break
      link.find(open, found)
      for (const key of open) if (found.has(key)) open.delete(key)
    }
    for (const [key, event] of found) if (event === 0) found.delete(key)
    return found
  }

  /** An independent copy: groups of a fork go their own way. */
  clone(): StateGroupChain {
    return new StateGroupChain([...this.#links])
  }

  /** Rough size in memory, in bytes. */
  get bytes(): number {
    return this.#links.reduce((sum, link) => sum + link.bytes, 0)
  }

  /** The same, without what another chain has in memory too. */
  bytesBeside(other: StateGroupChain): number {
    const shared = new Set(other.#links)
    return this.#links.reduce((sum, link) => sum + (shared.has(link) ? 16 : link.bytes), 100)
  }

  /**
   * Adds a group after the newest and makes its row.
   * @param stateSize how many entries the whole state has after the change
   */
  append(stateGroup: number, roomNid: number, change: StateDelta, stateSize: number): StateGroupRow {
    const height = this.#links.length === 0 ? 0 : (this.#links[0] as Link).height + 1
    const target = height === 0 ? -1 : height - reachOf(height)
    let delta = new Map(change)
    let dropped = 0
    while (dropped < this.#links.length && (this.#links[dropped] as Link).height > target) {
      delta = mergeDeltas((this.#links[dropped] as Link).delta, delta)
      dropped++
    }
    const base = this.#links[dropped]
    if (base !== undefined && dropped > 0 && delta.size * 2 > stateSize) {
      const whole = mergeDeltas(this.state(), change)
      for (const [key, event] of whole) if (event === 0) whole.delete(key)
      this.#links = [new Link(stateGroup, height, whole)]
      return { stateGroup, roomNid, prevStateGroup: undefined, height, delta: encodeDelta(whole) }
    }
    if (base === undefined) for (const [key, event] of delta) if (event === 0) delta.delete(key)
    this.#links = [new Link(stateGroup, height, delta), ...this.#links.slice(dropped)]
    const said = base !== undefined && dropped === 0 ? saidByEvent(stateGroup, delta) : undefined
    return { stateGroup, roomNid, prevStateGroup: base?.stateGroup, height, delta: said ?? encodeDelta(delta) }
  }
}

/** The state of a group from its chain's rows, newest first. */
export function stateOfGroup(rows: readonly StateGroupRow[]): StateDelta {
  return StateGroupChain.load(rows).state()
}

/** All of a delta where it is the event of the group and nothing else. */
function saidByEvent(stateGroup: number, delta: StateDelta): StateEntryNids | undefined {
  const [entry] = delta
  return delta.size === 1 && entry !== undefined && stateGroup === groupOfEvent(entry[1]) ? entry : undefined
}

/** The largest power of the fan-out that divides the height. */
function reachOf(height: number): number {
  let reach = 1
  while (height % (reach * FANOUT) === 0) reach *= FANOUT
  return reach
}
