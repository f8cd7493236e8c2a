import { type GraphEventRow, groupOfEvent, type StateGroupRow } from '@weft/storage'
import type { IdSource } from '../ids.ts'
import type { Resolution, ResolvedKey, Resolver } from '../resolution/resolution.ts'
import type { RoomHead } from '../room-head.ts'
import { encodeDelta, type StateDelta } from '../state-delta.ts'
import { StateGroupChain } from '../state-groups.ts'
import type { StateKeys } from '../state-keys.ts'
import type { GroupStates, StateAt } from './group-states.ts'

/** What the states of one batch are made with. */
export interface StateTools {
  readonly stateKeys: StateKeys
  readonly stateGroups: IdSource
  readonly groupStates: GroupStates
  readonly resolver: Resolver
  /** Ends waiting for resolutions when the process stops. */
  readonly signal: AbortSignal
}

/** The states around the events of one batch: those of stored groups, and those that are in the making. */
export class StateWorkshop {
  readonly #tools: StateTools
  readonly #head: RoomHead
  readonly #quiet: () => Promise<void>
  readonly #made = new Map<number, StateGroupChain>()
  /** State events of the batch, which resolutions cannot read yet. */
  readonly #events: GraphEventRow[] = []
  readonly groups: StateGroupRow[] = []
  readonly keys = new Map<number, { readonly nid: number; readonly type: string; readonly stateKey: string }>()

  constructor(tools: StateTools, head: RoomHead, quiet: () => Promise<void>) {
    this.#tools = tools
    this.#head = head
    this.#quiet = quiet
  }

  /** The current state as the head has it. */
  current(): StateAt {
    return { chain: this.#head.groups, delta: undefined, size: this.#head.stateSize }
  }

  /** The state of a group. */
  async ofGroup(stateGroup: number): Promise<StateAt> {
    if (stateGroup === this.#head.groups.stateGroup) return this.current()
    const made = this.#made.get(stateGroup)
    const chain = made ?? (await this.#stored(stateGroup))
    return { chain, delta: undefined, size: this.#head.stateSize }
  }

  /**
   * The state that several make together.
   * @param wholes states without a group
   * @param reference the group that `changes` are told against
   * @throws ResolutionExceeded
   */
  async resolve(
    groups: readonly number[],
    wholes: readonly StateDelta[],
    reference: number | undefined,
  ): Promise<{ readonly state: StateAt; readonly changes: Resolution['changes'] }> {
    await this.#quiet()
    const { unwrittenGroup } = this.#head
    const resolution = await this.#tools.resolver.resolve(
      {
        roomNid: this.#head.roomNid,
        roomId: this.#head.roomId,
        roomVersion: this.#head.version.id,
        groups,
        states: wholes.map(encodeDelta),
        reference,
        extraGroups: unwrittenGroup === undefined ? this.groups : [...this.groups, unwrittenGroup],
        extraEvents: this.#events,
      },
      this.#tools.signal,
    )
    const { base, size, changes } = resolution
    const chain = base === undefined ? StateGroupChain.empty() : (await this.ofGroup(base)).chain
    const delta: StateDelta = new Map()
    for (const key of resolution.delta) delta.set(await this.keyNid(key), key.eventNid)
    return { state: { chain, delta: delta.size === 0 ? undefined : delta, size }, changes }
  }

  /** The group of a state, made where it has none. Absent for the empty state before a create event. */
  async groupOf(state: StateAt): Promise<number | undefined> {
    this.#writeHeads(state)
    if (state.delta === undefined) return state.chain.stateGroup
    return this.#append(state, await this.newGroup(), state.delta, state.size).stateGroup
  }

  /** The state after a state event was set in it, with a group of its own. */
  set(state: StateAt, stateKeyNid: number, eventNid: number, isNew: boolean): StateGroupChain {
    this.#writeHeads(state)
    const change: StateDelta = new Map(state.delta)
    change.set(stateKeyNid, eventNid)
    return this.#append(state, groupOfEvent(eventNid), change, state.size + (isNew ? 1 : 0))
  }

  /** Enters a state event of the batch. */
  addEvent(row: GraphEventRow, stateKeyNid: number): void {
    this.#events.push(row)
    this.keys.set(stateKeyNid, { nid: stateKeyNid, type: row.type, stateKey: row.stateKey as string })
  }

  /** Enters keys that were numbered for the batch. */
  addKeys(keys: Iterable<{ readonly nid: number; readonly type: string; readonly stateKey: string }>): void {
    for (const key of keys) this.keys.set(key.nid, key)
  }

  /** The number of a key, given where it has none. */
  async keyNid({ type, stateKey, stateKeyNid }: Pick<ResolvedKey, 'type' | 'stateKey' | 'stateKeyNid'>): Promise<number> {
    if (stateKeyNid !== undefined) return stateKeyNid
    await this.#tools.stateKeys.prepare([[type, stateKey]])
    const nid = this.#tools.stateKeys.known(type, stateKey) as number
    this.keys.set(nid, { nid, type, stateKey })
    return nid
  }

  async newGroup(): Promise<number> {
    const { stateGroups } = this.#tools
    return (stateGroups.tryTake(1) ?? (await stateGroups.take(1)))[0] as number
  }

  async #stored(stateGroup: number): Promise<StateGroupChain> {
    await this.#quiet()
    return this.#tools.groupStates.chain(stateGroup, this.#head.groups)
  }

  /** A group that stands on the current one needs that one's row too. */
  #writeHeads({ chain }: StateAt): void {
    if (chain.stateGroup === undefined || chain.stateGroup !== this.#head.groups.stateGroup) return
    const row = this.#head.takeUnwrittenGroup()
    if (row === undefined) return
    this.groups.push(row)
    this.#made.set(row.stateGroup, chain)
  }

  #append(state: StateAt, stateGroup: number, change: StateDelta, size: number): StateGroupChain {
    const chain = state.chain.clone()
    this.groups.push(chain.append(stateGroup, this.#head.roomNid, change, size))
    this.#made.set(stateGroup, chain)
    this.#tools.groupStates.keep(chain, this.#head.groups)
    return chain
  }
}
