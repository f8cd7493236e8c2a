import { isJsonObject, own, ownString, parseJsonObject } from '@weft/matrix'
import type { StateGroupRow } from '@weft/storage'
import type { ResolvedChange } from '../resolution/resolution.ts'
import { type Extremity, keptContent, type RoomHead, type StateEntry } from '../room-head.ts'
import type { StateGroupChain } from '../state-groups.ts'
import type { KnownEvent } from './known-event.ts'
import type { PlacedChange } from './placed-events.ts'
import type { StateWorkshop } from './state-workshop.ts'

/** What decides who may do what: while such events wait to be resolved, the current state cannot be asked. */
const AUTH_TYPES: ReadonlySet<string> = new Set([
  'm.room.create',
  'm.room.power_levels',
  'm.room.join_rules',
  'm.room.member',
  'm.room.third_party_invite',
])
/** Stored JSON may be nested as deep as federation allows and hold lone surrogates in old room versions. */
const STORED = { maxDepth: 1000, allowLoneSurrogates: true }

/**
 * The current state of a head while events are placed: linear steps change it at once; forks wait until somebody asks, or the
 * batch ends, so that a batch of forks is resolved once and not with every event.
 */
export class CurrentState {
  readonly #head: RoomHead
  readonly #states: StateWorkshop
  readonly #before: readonly Extremity[]
  #extremities: readonly Extremity[]
  /** The groups whose resolution the head's state is. */
  #resolvedFrom: string
  #authWaits = false
  readonly changes: PlacedChange[] = []

  constructor(head: RoomHead, states: StateWorkshop) {
    this.#head = head
    this.#states = states
    this.#before = head.extremities
    this.#extremities = head.extremities
    this.#resolvedFrom = groupsKey(head.extremities)
  }

  get extremities(): readonly Extremity[] {
    return this.#extremities
  }

  /** True while the head's state is not that of the extremities. */
  get waits(): boolean {
    return groupsKey(this.#extremities) !== this.#resolvedFrom
  }

  /** True while what waits may change who may do what. */
  get authWaits(): boolean {
    return this.#authWaits && this.waits
  }

  /** True when these are just the extremities. */
  isTip(eventIds: readonly string[]): boolean {
    const ids = new Set(eventIds)
    return ids.size === this.#extremities.length && this.#extremities.every(({ eventId }) => ids.has(eventId))
  }

  /** Enters an accepted event whose state before is the head's, and which leaves no other extremity. */
  step(extremity: Extremity, at: number, set: { readonly entry: StateEntry; readonly groups: StateGroupChain } | undefined): void {
    const head = this.#head
    this.#extremities = [extremity]
    this.#resolvedFrom = groupsKey(this.#extremities)
    head.fork(this.#extremities)
    if (set === undefined) return
    const { entry } = set
    const prevEventNid = head.get(entry.type, entry.stateKey)?.eventNid
    head.setState(entry)
    head.setGroups(set.groups, undefined)
    const { stateKeyNid, type, stateKey, eventNid, eventId } = entry
    this.#record({ at, stateKeyNid, type, stateKey, eventNid, eventId, prevEventNid, membership: membershipIn(type, entry.content) })
  }

  /** Enters an accepted event that leaves other extremities, or was built on some of them. */
  fork(extremity: Extremity, gone: ReadonlySet<string>, event: KnownEvent): void {
    this.#extremities = [...this.#extremities.filter(({ eventId }) => !gone.has(eventId)), extremity]
    this.#head.fork(this.#extremities)
    if (event.row.stateKey !== undefined && AUTH_TYPES.has(event.row.type)) this.#authWaits = true
  }

  /**
   * Makes the head's state that of the extremities.
   * @param at index of the event in whose position it takes place
   * @throws ResolutionExceeded
   */
  async settle(at: number): Promise<void> {
    this.#authWaits = false
    if (!this.waits) return
    const head = this.#head
    const groups = [...new Set(this.#extremities.map(({ stateGroup }) => stateGroup as number))]
    const resolved = await this.#states.resolve(groups, [], head.groups.stateGroup)
    for (const change of resolved.changes) this.#apply(change, at, await this.#states.keyNid(change))
    const { chain, delta, size } = resolved.state
    let unwritten: StateGroupRow | undefined
    const next = chain.clone()
    if (delta !== undefined) unwritten = next.append(await this.#states.newGroup(), head.roomNid, delta, size)
    // Where the outcome is what the head has already, its group may still be without a row.
    if (next.stateGroup !== head.groups.stateGroup) head.setGroups(next, unwritten)
    this.#resolvedFrom = groupsKey(this.#extremities)
  }

  /** The extremities to list, where they change: none when the newest event of the timeline is the only one. */
  listed(inTimeline: (eventNid: number) => boolean): readonly number[] | undefined {
    const after = this.#extremities
    if (after === this.#before) return undefined
    const [only] = after
    if (after.length === 1 && only !== undefined && inTimeline(only.eventNid)) return []
    return after.map(({ eventNid }) => eventNid)
  }

  /** A key changes once in a position: what came later holds, over what was there first. */
  #record(change: PlacedChange): void {
    const index = this.changes.findLastIndex(({ at, stateKeyNid }) => at === change.at && stateKeyNid === change.stateKeyNid)
    const earlier = this.changes[index]
    if (earlier === undefined) this.changes.push(change)
    else this.changes[index] = { ...change, prevEventNid: earlier.prevEventNid }
  }

  #apply(change: ResolvedChange, at: number, stateKeyNid: number): void {
    const head = this.#head
    const { type, stateKey, prevEventNid, event } = change
    if (event === undefined) {
      head.removeState(type, stateKey)
      const membership = type === 'm.room.member' ? 'leave' : undefined
      this.#record({ at, stateKeyNid, type, stateKey, eventNid: undefined, eventId: undefined, prevEventNid, membership })
      return
    }
    const { eventId, sender, authDepth } = event
    const parsed = own(parseJsonObject(event.json, STORED), 'content')
    const content = isJsonObject(parsed) ? parsed : {}
    const impliesRoom = head.version.roomIdIsCreateHash && type === 'm.room.create'
    const roomId = impliesRoom ? undefined : head.roomId
    const { eventNid } = change
    head.setState({ stateKeyNid, eventNid, eventId, sender, type, stateKey, content: keptContent(type, content), roomId, authDepth })
    this.#record({ at, stateKeyNid, type, stateKey, eventNid, eventId, prevEventNid, membership: membershipIn(type, content) })
  }
}

/** The membership of a member event; `leave` where it names none. */
function membershipIn(type: string, content: Parameters<typeof ownString>[0]): string | undefined {
  return type === 'm.room.member' ? (ownString(content, 'membership') ?? 'leave') : undefined
}

function groupsKey(extremities: readonly Extremity[]): string {
  return [...new Set(extremities.map(({ stateGroup }) => stateGroup))].sort((a, b) => (a ?? 0) - (b ?? 0)).join()
}
