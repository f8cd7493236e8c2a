import { type Pdu, prevEventIds } from './event.ts'
import type { JsonObject } from './json.ts'
import type { PowerLevels } from './power-levels.ts'
import type { Verdict } from './verdict.ts'

/** What event auth needs to know of the event it judges. */
export interface AuthEventView {
  /** Needed in room versions 1 and 2, whose redaction rule compares ids. */
  readonly eventId?: string | undefined
  readonly type: string
  readonly stateKey?: string | undefined
  readonly sender: string
  /** The `room_id` key of the PDU: absent on a create event from room version 12 on. */
  readonly roomId?: string | undefined
  readonly content: JsonObject
  readonly prevEvents: readonly string[]
  readonly redacts?: string | undefined
}

/** What event auth needs to know of an event in the state. */
export interface StateEventView {
  readonly eventId: string
  readonly sender: string
  readonly type: string
  readonly stateKey: string
  readonly content: JsonObject
  /** Compared by the rules on auth events; absent on a create event from room version 12 on. */
  readonly roomId?: string | undefined
  readonly rejected?: boolean
}

/**
 * The state to judge by: of the auth events, before the event, or the current one. Nested maps stand behind it, never joined
 * keys: a type and a state key may hold any separator.
 */
export interface AuthStateView {
  get(type: string, stateKey: string): StateEventView | undefined
  /** The levels of this very state, parsed before, so that a warm send parses nothing. */
  readonly powerLevels?: PowerLevels | undefined
}

/** `ok`, or the rule that rejects the event and why. */
export type AuthResult = Verdict

/** The view of a PDU. `prevEvents` are ids in every event format. */
export function authEventView(pdu: Pdu, eventId: string): AuthEventView {
  return {
    eventId,
    type: pdu.type,
    stateKey: pdu.state_key,
    sender: pdu.sender,
    roomId: pdu.room_id,
    content: pdu.content,
    prevEvents: prevEventIds(pdu),
    redacts: pdu.redacts,
  }
}

/** The view of a PDU as part of a state; `undefined` for an event that is no state event. */
export function stateEventView(pdu: Pdu, eventId: string, rejected = false): StateEventView | undefined {
  if (pdu.state_key === undefined) return undefined
  return {
    eventId,
    type: pdu.type,
    stateKey: pdu.state_key,
    sender: pdu.sender,
    content: pdu.content,
    roomId: pdu.room_id,
    rejected,
  }
}

/** State by type and state key: nested, because either may hold any separator (R44). */
export class StateMap<T = StateEventView> {
  readonly #types = new Map<string, Map<string, T>>()

  get(type: string, stateKey: string): T | undefined {
    return this.#types.get(type)?.get(stateKey)
  }

  set(type: string, stateKey: string, value: T): this {
    let keys = this.#types.get(type)
    if (keys === undefined) {
      keys = new Map()
      this.#types.set(type, keys)
    }
    keys.set(stateKey, value)
    return this
  }

  has(type: string, stateKey: string): boolean {
    return this.#types.get(type)?.has(stateKey) ?? false
  }

  delete(type: string, stateKey: string): boolean {
    return this.#types.get(type)?.delete(stateKey) ?? false
  }

  get size(): number {
    let size = 0
    for (const keys of this.#types.values()) size += keys.size
    return size
  }

  *entries(): Generator<[type: string, stateKey: string, value: T]> {
    for (const [type, keys] of this.#types) {
      for (const [stateKey, value] of keys) yield [type, stateKey, value]
    }
  }

  /** A copy that can be changed by itself. */
  clone(): StateMap<T> {
    const copy = new StateMap<T>()
    for (const [type, stateKey, value] of this.entries()) copy.set(type, stateKey, value)
    return copy
  }
}

/** The state that a list of state events makes. */
export function stateOf(events: Iterable<StateEventView>): StateMap {
  const state = new StateMap()
  for (const event of events) state.set(event.type, event.stateKey, event)
  return state
}
