import {
  type AuthStateView,
  isJsonObject,
  type JsonObject,
  own,
  type PowerLevels,
  parsePowerLevels,
  type RoomVersion,
  type StateEventView,
  StateMap,
} from '@weft/matrix'
import { StateGroupChain } from './state-groups.ts'

/** An event of the current state, as far as the writer needs it: for auth, for auth_events, and to write groups. */
export interface StateEntry extends StateEventView {
  readonly stateKeyNid: number
  readonly eventNid: number
}

/** A forward extremity. */
export interface Extremity {
  readonly eventNid: number
  readonly eventId: string
  readonly depth: number
}

// One object for all members of a kind: event auth reads nothing of a member in the state but its membership.
const MEMBER_CONTENT: ReadonlyMap<string, JsonObject> = new Map(
  ['join', 'invite', 'leave', 'ban', 'knock'].map((membership) => [membership, Object.freeze({ membership })]),
)

/** The content to keep of a state event: all of it, but of a member only the membership (about 200 bytes an entry). */
export function keptContent(type: string, content: JsonObject): JsonObject {
  if (type !== 'm.room.member') return content
  const membership = own(content, 'membership')
  return (typeof membership === 'string' && MEMBER_CONTENT.get(membership)) || {}
}

/**
 * What a room looks like to its next event: extremities, current state, power levels. The writer keeps the heads of active
 * rooms in memory, so that a warm send reads nothing. A head runs ahead of the database by what is being committed; when a
 * commit fails, the head is dropped and read anew.
 */
export class RoomHead implements AuthStateView {
  readonly roomNid: number
  readonly roomId: string
  readonly version: RoomVersion
  readonly groups: StateGroupChain
  #state: StateMap<StateEntry>
  #size: number
  #extremities: readonly Extremity[]
  /** True while event_forward_extremities has rows of this room. */
  storedFork: boolean
  #powerLevels: PowerLevels | undefined
  #contentBytes: number
  /** Submissions built on this head that are not committed yet. */
  pending = 0
  /** Set when a commit failed: nothing more may be built on this head. */
  stale = false

  constructor(options: {
    roomNid: number
    roomId: string
    version: RoomVersion
    groups?: StateGroupChain
    state?: StateMap<StateEntry>
    extremities?: readonly Extremity[]
    storedFork?: boolean
  }) {
    this.roomNid = options.roomNid
    this.roomId = options.roomId
    this.version = options.version
    this.groups = options.groups ?? StateGroupChain.empty()
    this.#state = options.state ?? new StateMap()
    this.#size = this.#state.size
    this.#extremities = options.extremities ?? []
    this.storedFork = options.storedFork ?? false
    this.#contentBytes = 0
    for (const [type, , entry] of this.#state.entries()) this.#contentBytes += contentBytes(type, entry.content)
  }

  /** The same head under the id that its create event made, from room version 12 on. */
  withRoomId(roomId: string): RoomHead {
    const { roomNid, version, groups } = this
    return new RoomHead({ roomNid, roomId, version, groups, state: this.#state, extremities: this.#extremities })
  }

  get(type: string, stateKey: string): StateEntry | undefined {
    return this.#state.get(type, stateKey)
  }

  /** The parsed power levels of the current state. Undefined before there is a create event. */
  get powerLevels(): PowerLevels | undefined {
    if (this.#powerLevels === undefined) {
      const create = this.get('m.room.create', '')
      if (create === undefined) return undefined
      this.#powerLevels = parsePowerLevels(this.version, create, this.get('m.room.power_levels', ''))
    }
    return this.#powerLevels
  }

  get extremities(): readonly Extremity[] {
    return this.#extremities
  }

  /** How many entries the state has. */
  get stateSize(): number {
    return this.#size
  }

  /** Every entry of the state. */
  entries() {
    return this.#state.entries()
  }

  membership(userId: string): string | undefined {
    const entry = this.get('m.room.member', userId)
    const membership = entry && own(entry.content, 'membership')
    return typeof membership === 'string' ? membership : undefined
  }

  /** The content of a state event, if there is one. */
  content(type: string, stateKey = ''): JsonObject | undefined {
    const content = this.get(type, stateKey)?.content
    return isJsonObject(content) ? content : undefined
  }

  /** Enters a state event. */
  setState(entry: StateEntry): void {
    const before = this.#state.get(entry.type, entry.stateKey)
    if (before === undefined) this.#size++
    else this.#contentBytes -= contentBytes(before.type, before.content)
    this.#contentBytes += contentBytes(entry.type, entry.content)
    this.#state.set(entry.type, entry.stateKey, entry)
    if (entry.type === 'm.room.power_levels' || entry.type === 'm.room.create') this.#powerLevels = undefined
  }

  /** Enters an event that was built on all extremities: it is the only one now. */
  advance(extremity: Extremity): void {
    this.#extremities = [extremity]
  }

  /** Rough size in memory, in bytes. */
  get bytes(): number {
    return 1000 + this.#size * 260 + this.#contentBytes + this.groups.bytes
  }
}

/** Members share their content, so they cost none. */
function contentBytes(type: string, content: JsonObject): number {
  return type === 'm.room.member' ? 0 : JSON.stringify(content).length * 2
}
