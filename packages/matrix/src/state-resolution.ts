import type { AuthNode } from './auth-graph.ts'
import { AuthDifference, conflictedSubgraph } from './auth-graph.ts'
import { StateMap } from './auth-view.ts'
import type { RoomVersion } from './room-version.ts'
import { type EventsSource, type ResolutionEvent, resolveV1, resolveV2 } from './state-resolution-rules.ts'

/** A state as event ids. */
export type StateIds = StateMap<string>

/** States in two parts: what all of them have alike, and for each the rest. Saves a copy of the room's state for each fork. */
export interface SeparatedStates {
  readonly unconflicted: StateIds
  /** Parallel to the states. A key in one of them is not in `unconflicted`. */
  readonly conflicted: readonly StateIds[]
}

/** How much one resolution may take in. */
export interface ResolutionLimits {
  /** Events as nodes of the auth graph. */
  readonly maxNodes: number
  /** Whole events. */
  readonly maxEvents: number
}

/** Far above any room that is known; a resolution beyond them answers `exceeded` instead of taking all memory. */
export const DEFAULT_RESOLUTION_LIMITS: ResolutionLimits = { maxNodes: 1_000_000, maxEvents: 100_000 }

/** What a resolution answers when it is asked to go on. */
export type ResolutionStep =
  | { readonly kind: 'resolved'; readonly state: StateIds }
  /** Needs these first. An event serves as a node too. More than was asked for may be given, and saves rounds. */
  | { readonly kind: 'missing'; readonly nodes: readonly string[]; readonly events: readonly string[] }
  /** The limits are reached; nothing can be said. */
  | { readonly kind: 'exceeded'; readonly reason: string }

/**
 * Resolves the states before an event, or of several forward extremities, into one. It loads nothing itself:
 *
 *     const resolution = new StateResolution(version, states)
 *     for (let step = resolution.next(); step.kind === 'missing'; step = resolution.next()) resolution.add(await load(step))
 *
 * Work done in one step is kept for the next. No recursion, and no work beyond the limits.
 *
 * Spec: room versions 1, 2 and 12, "State resolution".
 */
export class StateResolution {
  readonly #version: RoomVersion
  readonly #parts: readonly StateIds[]
  readonly #limits: ResolutionLimits
  readonly #nodes = new Map<string, AuthNode | null>()
  readonly #events = new Map<string, ResolutionEvent | null>()
  readonly #unconflicted: StateIds
  readonly #conflicted: ReadonlySet<string>
  #difference: AuthDifference | undefined
  #fullConflicted: Set<string> | undefined

  constructor(version: RoomVersion, states: readonly StateIds[] | SeparatedStates, limits: ResolutionLimits = DEFAULT_RESOLUTION_LIMITS) {
    this.#version = version
    this.#limits = limits
    if ('unconflicted' in states) {
      this.#unconflicted = states.unconflicted
      this.#conflicted = new Set(states.conflicted.flatMap((state) => [...ids(state)]))
      this.#parts = states.conflicted
    } else {
      const { unconflicted, conflicted } = separateStates(states)
      this.#unconflicted = unconflicted
      this.#conflicted = conflicted
      this.#parts = states.map((state) => partOf(state, unconflicted))
    }
  }

  /** Adds what was asked for. `absent` names what cannot be had: it then counts as an event without effect. */
  add(loaded: { nodes?: Iterable<AuthNode>; events?: Iterable<ResolutionEvent>; absent?: Iterable<string> }): void {
    for (const node of loaded.nodes ?? []) this.#nodes.set(node.eventId, node)
    for (const event of loaded.events ?? []) {
      this.#events.set(event.eventId, event)
      this.#nodes.set(event.eventId, event)
    }
    for (const id of loaded.absent ?? []) {
      if (!this.#events.has(id)) this.#events.set(id, null)
      if (!this.#nodes.has(id)) this.#nodes.set(id, null)
    }
  }

  /** Goes on as far as the events at hand let it. */
  next(): ResolutionStep {
    if (this.#conflicted.size === 0) return { kind: 'resolved', state: this.#unconflicted }
    if (this.#nodes.size > this.#limits.maxNodes) return { kind: 'exceeded', reason: `more than ${this.#limits.maxNodes} auth events` }
    if (this.#events.size > this.#limits.maxEvents) return { kind: 'exceeded', reason: `more than ${this.#limits.maxEvents} events` }
    return this.#version.stateResolution === 'v1' ? this.#stepV1() : this.#stepV2()
  }

  #stepV1(): ResolutionStep {
    const source = new Source(this.#events)
    const state = resolveV1(this.#version, [this.#unconflicted, ...this.#parts], source)
    return source.step(state)
  }

  #stepV2(): ResolutionStep {
    if (this.#fullConflicted === undefined) {
      const found = this.#findFullConflicted()
      if (found !== undefined) return found
    }
    const source = new Source(this.#events)
    const state = resolveV2(this.#version, this.#unconflicted, this.#fullConflicted as Set<string>, source)
    return source.step(state)
  }

  /** Room version 2, "Full conflicted set"; room version 12 adds the conflicted state subgraph. */
  #findFullConflicted(): ResolutionStep | undefined {
    this.#difference ??= new AuthDifference(
      this.#parts.map((part) => ids(part)),
      ids(this.#unconflicted),
    )
    const walked = this.#difference.advance(this.#nodes)
    if ('missing' in walked) return { kind: 'missing', nodes: walked.missing, events: [] }
    const full = new Set([...this.#conflicted, ...walked.difference])
    if (this.#version.stateResolution === 'v2.1') {
      const found = conflictedSubgraph(this.#conflicted, this.#nodes)
      if ('missing' in found) return { kind: 'missing', nodes: found.missing, events: [] }
      for (const id of found.subgraph) full.add(id)
    }
    this.#fullConflicted = full
    return undefined
  }
}

/**
 * Splits states into what all of them have alike and the events they differ in. A key that one of them lacks is conflicted.
 * Spec: room version 2, "Unconflicted state map and conflicted state set".
 */
export function separateStates(states: readonly StateIds[]): { unconflicted: StateIds; conflicted: Set<string> } {
  const unconflicted: StateIds = new StateMap()
  const conflicted = new Set<string>()
  const [first, ...others] = states
  if (first === undefined) return { unconflicted, conflicted }
  for (const [type, stateKey, id] of first.entries()) {
    if (others.every((state) => state.get(type, stateKey) === id)) unconflicted.set(type, stateKey, id)
    else conflicted.add(id)
  }
  for (const state of others) {
    for (const [type, stateKey, id] of state.entries()) {
      if (unconflicted.get(type, stateKey) !== id) conflicted.add(id)
    }
  }
  return { unconflicted, conflicted }
}

/** What a state has besides the unconflicted. */
function partOf(state: StateIds, unconflicted: StateIds): StateIds {
  const part: StateIds = new StateMap()
  for (const [type, stateKey, id] of state.entries()) if (!unconflicted.has(type, stateKey)) part.set(type, stateKey, id)
  return part
}

/** Gives events at hand and notes those asked for that are not. */
class Source implements EventsSource {
  readonly #events: ReadonlyMap<string, ResolutionEvent | null>
  readonly #missing = new Set<string>()

  constructor(events: ReadonlyMap<string, ResolutionEvent | null>) {
    this.#events = events
  }

  get(id: string): ResolutionEvent | undefined {
    const event = this.#events.get(id)
    if (event === undefined) this.#missing.add(id)
    return event ?? undefined
  }

  get complete(): boolean {
    return this.#missing.size === 0
  }

  step(state: StateIds | undefined): ResolutionStep {
    if (this.complete && state !== undefined) return { kind: 'resolved', state }
    return { kind: 'missing', nodes: [], events: [...this.#missing] }
  }
}

function* ids(state: StateIds): Generator<string> {
  for (const [, , id] of state.entries()) yield id
}
