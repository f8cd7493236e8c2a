import { type AuthEventView, type AuthStateView, type PowerLevels, parsePowerLevels, StateMap } from '@weft/matrix'
import type { RoomHead } from '../room-head.ts'
import type { StateKeys } from '../state-keys.ts'
import type { EventIndex } from './event-index.ts'
import { entriesAt, type StateAt } from './group-states.ts'
import { keysJudgedBy } from './judge.ts'

/** States of a room as event auth reads them: a few events of each. */
export class StateViews {
  readonly #head: RoomHead
  readonly #index: EventIndex
  readonly #stateKeys: StateKeys

  constructor(options: { head: RoomHead; index: EventIndex; stateKeys: StateKeys }) {
    this.#head = options.head
    this.#index = options.index
    this.#stateKeys = options.stateKeys
  }

  /** True for the state that the head has in memory. */
  isHeads({ chain, delta }: StateAt): boolean {
    return delta === undefined && chain.stateGroup === this.#head.groups.stateGroup
  }

  /** What event auth reads of a state to judge this event. */
  async judging(event: AuthEventView, state: StateAt): Promise<AuthStateView> {
    return this.isHeads(state) ? this.#head : this.at(state, keysJudgedBy(this.#head.version, event))
  }

  async powerLevels(state: StateAt): Promise<PowerLevels | undefined> {
    if (this.isHeads(state)) return this.#head.powerLevels
    const view = await this.at(state, [
      ['m.room.create', ''],
      ['m.room.power_levels', ''],
    ])
    const create = view.get('m.room.create', '')
    return create && parsePowerLevels(this.#head.version, create, view.get('m.room.power_levels', ''))
  }

  /** The numbers of events that were met in a state. */
  nids(eventIds: readonly string[]): Array<{ eventNid: number; eventId: string }> {
    return eventIds.flatMap((id) => {
      const known = this.#index.get(id)
      return known === undefined ? [] : { eventNid: known.row.eventNid, eventId: id }
    })
  }

  /** The events of a state at these keys. */
  async at(state: StateAt, keys: ReadonlyArray<readonly [type: string, stateKey: string]>): Promise<StateMap> {
    await this.#stateKeys.find(keys)
    const nids = keys.flatMap(([type, stateKey]) => this.#stateKeys.known(type, stateKey) ?? [])
    const view = new StateMap()
    for (const known of await this.#index.byNids(entriesAt(state, nids).values())) {
      const { stateKey } = known.view
      if (stateKey !== undefined) view.set(known.row.type, stateKey, { ...known.view, stateKey })
    }
    return view
  }
}
