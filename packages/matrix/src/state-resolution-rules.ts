import { hash } from 'node:crypto'
import type { AuthNode } from './auth-graph.ts'
import { authStateKeys } from './auth-selection.ts'
import { type AuthStateView, type StateEventView, StateMap } from './auth-view.ts'
import { createEventIdOf } from './event.ts'
import { checkEventAuth } from './event-auth.ts'
import { Heap } from './heap.ts'
import { own } from './json.ts'
import { type PowerLevels, parsePowerLevels } from './power-levels.ts'
import type { RoomVersion } from './room-version.ts'

/** An event as state resolution needs it. */
export interface ResolutionEvent extends StateEventView, AuthNode {
  readonly prevEvents: readonly string[]
  readonly originServerTs: number
  /** Of the PDU; room version 1 orders by it. */
  readonly depth: number
}

/** Where the rules get events. One that is not at hand is noted, and the rules stop at the next point where they can. */
export interface EventsSource {
  get(id: string): ResolutionEvent | undefined
  /** False when something was asked for that is not at hand. */
  readonly complete: boolean
}

type StateIds = StateMap<string>

/**
 * Resolves the full conflicted set against the unconflicted state.
 *
 * Spec: room version 2, "State resolution", "Algorithm"; room version 12 starts step 2 from an empty state.
 * @returns the state, or `undefined` when the source lacks events
 */
export function resolveV2(
  version: RoomVersion,
  unconflicted: StateIds,
  fullConflicted: ReadonlySet<string>,
  source: EventsSource,
): StateIds | undefined {
  const events = new Map<string, ResolutionEvent>()
  for (const id of fullConflicted) {
    const event = source.get(id)
    if (event !== undefined) events.set(id, event)
  }
  if (!source.complete) return undefined
  // All auth events, at once: for senders' levels, the mainline, and where the state lacks a key.
  for (const event of events.values()) for (const id of event.authEvents) source.get(id)
  if (!source.complete) return undefined

  const rules = new Rules(version, source)
  const power = powerEvents(events)
  const ordered = rules.powerOrder(power)
  const state: StateIds = version.stateResolution === 'v2.1' ? new StateMap() : unconflicted.clone()
  if (!rules.applyAllowed(ordered, state)) return undefined

  const rest = [...events.values()].filter((event) => !power.has(event.eventId))
  const byMainline = rules.mainlineOrder(rest, state.get('m.room.power_levels', ''))
  if (byMainline === undefined || !rules.applyAllowed(byMainline, state)) return undefined
  for (const [type, stateKey, id] of unconflicted.entries()) state.set(type, stateKey, id)
  return state
}

/**
 * Resolves states by the first algorithm.
 *
 * Spec: room version 1, "State resolution".
 * @returns the state, or `undefined` when the source lacks events
 */
export function resolveV1(version: RoomVersion, states: readonly StateIds[], source: EventsSource): StateIds | undefined {
  const candidates = new StateMap<Set<string>>()
  for (const state of states) {
    for (const [type, stateKey, id] of state.entries()) {
      const known = candidates.get(type, stateKey)
      if (known === undefined) candidates.set(type, stateKey, new Set([id]))
      else known.add(id)
    }
  }
  const resolved: StateIds = new StateMap()
  const conflicts: Array<{ type: string; stateKey: string; events: ResolutionEvent[] }> = []
  for (const [type, stateKey, ids] of candidates.entries()) {
    if (ids.size === 1) {
      resolved.set(type, stateKey, ids.values().next().value as string)
    } else {
      conflicts.push({ type, stateKey, events: [...ids].flatMap((id) => source.get(id) ?? []) })
    }
  }
  if (!source.complete) return undefined

  const rules = new Rules(version, source)
  for (const type of ['m.room.power_levels', 'm.room.join_rules', 'm.room.member']) {
    // Conflicts of one pass do not see each other's outcome, as else the result would hang on the order they are taken in.
    const passed: Array<[stateKey: string, eventId: string]> = []
    for (const conflict of conflicts.filter((one) => one.type === type)) {
      const [first, ...others] = conflict.events.sort((a, b) => -byDepthAndHash(a, b))
      if (first === undefined) continue
      let chosen = first
      for (const event of others) {
        resolved.set(type, conflict.stateKey, chosen.eventId)
        if (rules.isAllowed(event, resolved, false) !== true) break
        chosen = event
      }
      resolved.delete(type, conflict.stateKey)
      passed.push([conflict.stateKey, chosen.eventId])
    }
    for (const [stateKey, eventId] of passed) resolved.set(type, stateKey, eventId)
  }
  for (const { type, stateKey, events } of conflicts) {
    if (resolved.has(type, stateKey) || events.length === 0) continue
    const ordered = events.sort(byDepthAndHash)
    // NOTSPEC: the spec does not say what happens when none is allowed; other servers take the last, and state must agree.
    const chosen = ordered.find((event) => rules.isAllowed(event, resolved, false) === true) ?? ordered.at(-1)
    resolved.set(type, stateKey, (chosen as ResolutionEvent).eventId)
  }
  return source.complete ? resolved : undefined
}

/** The highest depth first, then the lowest SHA-1 of the id. */
function byDepthAndHash(a: ResolutionEvent, b: ResolutionEvent): number {
  if (a.depth !== b.depth) return b.depth - a.depth
  return compare(hash('sha1', a.eventId), hash('sha1', b.eventId))
}

/**
 * Step 1: the power events and what in their auth chains is in the full conflicted set. The chains are followed within that set:
 * it holds all of a chain that the states do not share.
 * Spec: room version 2, "State resolution", "Power events" and "Algorithm".
 */
function powerEvents(fullConflicted: ReadonlyMap<string, ResolutionEvent>): Map<string, ResolutionEvent> {
  const chosen = new Map<string, ResolutionEvent>()
  const open = [...fullConflicted.values()].filter(isPowerEvent)
  for (let event = open.pop(); event !== undefined; event = open.pop()) {
    if (chosen.has(event.eventId)) continue
    chosen.set(event.eventId, event)
    for (const id of event.authEvents) {
      const authEvent = fullConflicted.get(id)
      if (authEvent !== undefined) open.push(authEvent)
    }
  }
  return chosen
}

function isPowerEvent(event: ResolutionEvent): boolean {
  if (event.type === 'm.room.power_levels' || event.type === 'm.room.join_rules') return true
  if (event.type !== 'm.room.member' || event.sender === event.stateKey) return false
  const membership = own(event.content, 'membership')
  return membership === 'leave' || membership === 'ban'
}

/** The orderings and checks of the second algorithm, with what one resolution reads more than once. */
class Rules {
  readonly #version: RoomVersion
  readonly #source: EventsSource
  readonly #levels = new Map<string, Map<string, PowerLevels>>()

  constructor(version: RoomVersion, source: EventsSource) {
    this.#version = version
    this.#source = source
  }

  /** Spec: room version 2, "Reverse topological power ordering". */
  powerOrder(events: ReadonlyMap<string, ResolutionEvent>): ResolutionEvent[] {
    const level = new Map<string, number>()
    const waitsFor = new Map<string, number>()
    const citedBy = new Map<string, ResolutionEvent[]>()
    const ready = new Heap<ResolutionEvent>((a, b) => {
      const difference = compare(level.get(b.eventId) as number, level.get(a.eventId) as number)
      return difference || compare(a.originServerTs, b.originServerTs) || compare(a.eventId, b.eventId)
    })
    for (const event of events.values()) level.set(event.eventId, this.#senderLevel(event))
    for (const event of events.values()) {
      const within = new Set(event.authEvents.filter((id) => events.has(id)))
      waitsFor.set(event.eventId, within.size)
      for (const id of within) {
        const citing = citedBy.get(id)
        if (citing === undefined) citedBy.set(id, [event])
        else citing.push(event)
      }
      if (within.size === 0) ready.push(event)
    }
    const ordered: ResolutionEvent[] = []
    for (let event = ready.pop(); event !== undefined; event = ready.pop()) {
      ordered.push(event)
      for (const citing of citedBy.get(event.eventId) ?? []) {
        const left = (waitsFor.get(citing.eventId) as number) - 1
        waitsFor.set(citing.eventId, left)
        if (left === 0) ready.push(citing)
      }
    }
    return ordered
  }

  /** Spec: room version 2, "Mainline ordering". `undefined` when the source lacks events. */
  mainlineOrder(events: readonly ResolutionEvent[], powerLevelsId: string | undefined): ResolutionEvent[] | undefined {
    const mainline = new Map<string, number>()
    for (let id = powerLevelsId; id !== undefined && !mainline.has(id); id = this.#powerLevelsOf(id)) mainline.set(id, mainline.size)
    if (!this.#source.complete) return undefined

    const positions = new Map<string, number>()
    for (const event of events) positions.set(event.eventId, this.#mainlinePosition(event.eventId, mainline, positions))
    if (!this.#source.complete) return undefined
    return [...events].sort(
      (a, b) =>
        compare(positions.get(b.eventId) as number, positions.get(a.eventId) as number) ||
        compare(a.originServerTs, b.originServerTs) ||
        compare(a.eventId, b.eventId),
    )
  }

  /** Spec: room version 2, "Iterative auth checks". False when the source lacks events. */
  applyAllowed(events: readonly ResolutionEvent[], state: StateIds): boolean {
    for (const event of events) {
      const allowed = this.isAllowed(event, state, true)
      if (allowed === undefined) return false
      if (allowed) state.set(event.type, event.stateKey, event.eventId)
    }
    return true
  }

  /**
   * Whether the event may be in a room of this state; `undefined` when the source lacks events.
   * @param withAuthEvents takes the event's own auth events where the state has nothing
   */
  isAllowed(event: ResolutionEvent, state: StateIds, withAuthEvents: boolean): boolean | undefined {
    const view = new StateMap<StateEventView>()
    if (withAuthEvents) {
      for (const id of event.authEvents) {
        const authEvent = this.#source.get(id)
        if (authEvent !== undefined && authEvent.rejected !== true) view.set(authEvent.type, authEvent.stateKey, authEvent)
      }
    }
    for (const [type, stateKey] of authStateKeys(this.#version, event)) {
      const id = state.get(type, stateKey)
      const held = id === undefined ? undefined : this.#source.get(id)
      if (held !== undefined) view.set(type, stateKey, held)
    }
    const create = this.#createOf(event, view)
    if (!this.#source.complete) return undefined
    if (create !== undefined) view.set('m.room.create', '', create)
    const powerLevels = create && this.#levelsOf(create, view.get('m.room.power_levels', ''))
    const stateView: AuthStateView = { get: (type, stateKey) => view.get(type, stateKey), powerLevels }
    return checkEventAuth(this.#version, event, stateView).ok
  }

  /** The level of the event's sender, looking at the event's own auth events. */
  #senderLevel(event: ResolutionEvent): number {
    const view = new StateMap<StateEventView>()
    for (const id of event.authEvents) {
      const authEvent = this.#source.get(id)
      if (authEvent !== undefined) view.set(authEvent.type, authEvent.stateKey, authEvent)
    }
    const create = this.#createOf(event, view)
    if (create === undefined) return 0
    return this.#levelsOf(create, view.get('m.room.power_levels', '')).userLevel(event.sender)
  }

  /** From room version 12 on the room id names the create event, before it is among the auth events. */
  #createOf(event: ResolutionEvent, view: StateMap<StateEventView>): StateEventView | undefined {
    if (!this.#version.createNotInAuthEvents) return view.get('m.room.create', '')
    const id = event.roomId === undefined ? undefined : createEventIdOf(event.roomId)
    return id === undefined ? undefined : this.#source.get(id)
  }

  #levelsOf(create: StateEventView, event: StateEventView | undefined): PowerLevels {
    let byEvent = this.#levels.get(create.eventId)
    if (byEvent === undefined) {
      byEvent = new Map()
      this.#levels.set(create.eventId, byEvent)
    }
    let levels = byEvent.get(event?.eventId ?? '')
    if (levels === undefined) {
      levels = parsePowerLevels(this.#version, create, event)
      byEvent.set(event?.eventId ?? '', levels)
    }
    return levels
  }

  #mainlinePosition(start: string, mainline: ReadonlyMap<string, number>, known: Map<string, number>): number {
    const passed: string[] = []
    const seen = new Set([start])
    let position = Number.POSITIVE_INFINITY
    for (let id = this.#powerLevelsOf(start); id !== undefined && !seen.has(id); id = this.#powerLevelsOf(id)) {
      const found = mainline.get(id) ?? known.get(id)
      if (found !== undefined) {
        position = found
        break
      }
      seen.add(id)
      passed.push(id)
    }
    // Every power levels event passed on the way leads there too, so the next event need not walk it again.
    for (const id of passed) known.set(id, position)
    return position
  }

  /** The power levels event among the auth events. */
  #powerLevelsOf(id: string): string | undefined {
    const event = this.#source.get(id)
    return event?.authEvents.find((authId) => {
      const authEvent = this.#source.get(authId)
      return authEvent?.type === 'm.room.power_levels' && authEvent.stateKey === ''
    })
  }
}

function compare<T extends string | number>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0
}
