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
import type { StateGroupRow } from '@weft/storage'
import { StateGroupChain } from './state-groups.ts'

/** An event of the current state, as far as the writer needs it: for auth, for auth_events, and to write groups. */
export interface StateEntry extends StateEventView {
  readonly stateKeyNid: number
  readonly eventNid: number
  /** Absent for events stored before auth depths were counted, and what is built on them. */
  readonly authDepth: number | undefined
}

/** A forward extremity. */
export interface Extremity {
  readonly eventNid: number
  readonly eventId: string
  readonly depth: number
  /** The state after it. */
  readonly stateGroup: number | undefined
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
  #groups: StateGroupChain
  #unwrittenGroup: StateGroupRow | undefined
  readonly #state: StateMap<StateEntry>
  #size: number
  #extremities: readonly Extremity[]
  /** True while event_forward_extremities has rows of this room. */
  storedFork: boolean
  #powerLevels: PowerLevels | undefined
  #contentBytes: number
  #members = 0
  #pendingMembers = 0
  /** Submissions built on this head that are not committed yet. */
  pending = 0
  /** Set when a commit failed: nothing more may be built on this head. */
  stale = false
  /** Set while forks are being worked on: who wants to build on the head waits for it, and asks again. */
  gate: Promise<void> | undefined
  /** Called when a submission has ended: for who holds the gate. */
  onSettled: (() => void) | undefined

  constructor(options: {
    roomNid: number
    roomId: string
    version: RoomVersion
    groups?: StateGroupChain
    /** The row of the newest group, where it is not stored yet. */
    unwrittenGroup?: StateGroupRow | undefined
    state?: StateMap<StateEntry>
    extremities?: readonly Extremity[]
    storedFork?: boolean
  }) {
    this.roomNid = options.roomNid
    this.roomId = options.roomId
    this.version = options.version
    this.#groups = options.groups ?? StateGroupChain.empty()
    this.#unwrittenGroup = options.unwrittenGroup
    this.#state = options.state ?? new StateMap()
    this.#size = this.#state.size
    this.#extremities = options.extremities ?? []
    this.storedFork = options.storedFork ?? false
    this.#contentBytes = 0
    for (const [type, , entry] of this.#state.entries()) {
      this.#contentBytes += contentBytes(type, entry.content)
      if (type === 'm.room.member') this.#countMember(entry, 1)
    }
  }

  /** The same head under the id that its create event made, from room version 12 on. */
  withRoomId(roomId: string): RoomHead {
    const { roomNid, version, groups } = this
    return new RoomHead({ roomNid, roomId, version, groups, state: this.#state, extremities: this.#extremities })
  }

  /** The chain of the current state's group. */
  get groups(): StateGroupChain {
    return this.#groups
  }

  /** The row of the newest group, where it is not stored yet: a state that forks have between them. */
  get unwrittenGroup(): StateGroupRow | undefined {
    return this.#unwrittenGroup
  }

  /** The same, for the commit that now writes it. */
  takeUnwrittenGroup(): StateGroupRow | undefined {
    const row = this.#unwrittenGroup
    this.#unwrittenGroup = undefined
    return row
  }

  /** Enters the group that the current state is from now on. */
  setGroups(groups: StateGroupChain, unwritten: StateGroupRow | undefined): void {
    this.#groups = groups
    this.#unwrittenGroup = unwritten
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

  /** How many entries are no members', and about how many bytes of memory their contents take. */
  get otherState(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#size - this.#members, bytes: this.#contentBytes }
  }

  /** How many invitations and knocks wait for an answer. */
  get pendingMembers(): number {
    return this.#pendingMembers
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
    if (before === undefined) {
      this.#size++
    } else {
      this.#contentBytes -= contentBytes(before.type, before.content)
      if (before.type === 'm.room.member') this.#countMember(before, -1)
    }
    if (entry.type === 'm.room.member') this.#countMember(entry, 1)
    this.#contentBytes += contentBytes(entry.type, entry.content)
    this.#state.set(entry.type, entry.stateKey, entry)
    if (entry.type === 'm.room.power_levels' || entry.type === 'm.room.create') this.#powerLevels = undefined
  }

  /** Takes a key out of the state, as only state resolution does. */
  removeState(type: string, stateKey: string): void {
    const before = this.#state.get(type, stateKey)
    if (before === undefined) return
    this.#size--
    if (type === 'm.room.member') this.#countMember(before, -1)
    this.#contentBytes -= contentBytes(type, before.content)
    this.#state.delete(type, stateKey)
    if (type === 'm.room.power_levels' || type === 'm.room.create') this.#powerLevels = undefined
  }

  #countMember({ content }: StateEntry, n: 1 | -1): void {
    this.#members += n
    if (isPending(own(content, 'membership'))) this.#pendingMembers += n
  }

  /** Enters an event that was built on all extremities: it is the only one now. */
  advance(extremity: Extremity): void {
    this.#extremities = [extremity]
  }

  /** Enters the extremities after events that were built on some of them. */
  fork(extremities: readonly Extremity[]): void {
    this.#extremities = extremities
  }

  /** Rough size in memory, in bytes. */
  get bytes(): number {
    return 1000 + this.#size * 260 + this.#contentBytes + this.#groups.bytes
  }
}

/** Bytes of memory that the content of a state event takes. Members share theirs, so they cost none. */
export function contentBytes(type: string, content: JsonObject): number {
  return type === 'm.room.member' ? 0 : JSON.stringify(content).length * 2
}

/** True for the membership of who waits to be answered. */
export function isPending(membership: unknown): boolean {
  return membership === 'invite' || membership === 'knock'
}
