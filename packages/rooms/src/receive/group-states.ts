import type { StateReader } from '@weft/storage'
import { applyDelta, type StateDelta } from '../state-delta.ts'
import { StateGroupChain } from '../state-groups.ts'

/** A state of a room: that of a group, with what lies over it and is in no group yet. */
export interface StateAt {
  readonly chain: StateGroupChain
  readonly delta: StateDelta | undefined
  /** How many entries it has, nearly. */
  readonly size: number
}

/** What a state has at these keys; those it has not are left out. */
export function entriesAt({ chain, delta }: StateAt, keys: readonly number[]): Map<number, number> {
  const found = chain.at(delta === undefined ? keys : keys.filter((key) => !delta.has(key)))
  for (const key of keys) {
    const event = delta?.get(key)
    if (event !== undefined && event !== 0) found.set(key, event)
  }
  return found
}

/** All of a state. */
export function wholeState({ chain, delta }: StateAt): StateDelta {
  const state = chain.state()
  if (delta !== undefined) applyDelta(state, delta)
  return state
}

/** Chains of state groups of lately, bounded in bytes: the tips of forks are asked for with each of their events. */
export class GroupStates {
  readonly #reader: StateReader
  readonly #maxBytes: number
  readonly #chains = new Map<number, { readonly chain: StateGroupChain; readonly bytes: number }>()
  #bytes = 0

  constructor(reader: StateReader, maxBytes: number) {
    this.#reader = reader
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * The chain of a group, not to be changed.
   * @param like a chain of the same room, which most of this one is like
   * @throws Error for a group that is not there
   */
  async chain(stateGroup: number, like: StateGroupChain): Promise<StateGroupChain> {
    const kept = this.#chains.get(stateGroup)
    if (kept !== undefined) {
      this.#chains.delete(stateGroup)
      this.#chains.set(stateGroup, kept)
      return kept.chain
    }
    const rows = await this.#reader.groupChain(stateGroup)
    if (rows.length === 0) throw new Error(`state group ${stateGroup} is not there`)
    const chain = StateGroupChain.load(rows, like)
    this.keep(chain, like)
    return chain
  }

  /**
   * Enters a chain that was just made. Its group may never be committed: then nobody asks for it either, and an event that is placed
   * anew, on other states perhaps, makes a group of the same number.
   */
  keep(chain: StateGroupChain, like: StateGroupChain): void {
    const group = chain.stateGroup
    if (group === undefined) return
    this.forget([group])
    const bytes = chain.bytesBeside(like)
    this.#chains.set(group, { chain, bytes })
    this.#bytes += bytes
    for (const [oldest, entry] of this.#chains) {
      if (this.#bytes <= this.#maxBytes || this.#chains.size === 1) return
      this.#chains.delete(oldest)
      this.#bytes -= entry.bytes
    }
  }

  /** Forgets groups that are being collected. */
  forget(stateGroups: Iterable<number>): void {
    for (const group of stateGroups) {
      this.#bytes -= this.#chains.get(group)?.bytes ?? 0
      this.#chains.delete(group)
    }
  }
}
