import type { RoomHead } from '../room-head.ts'
import type { StateDelta } from '../state-delta.ts'
import type { StateKeys } from '../state-keys.ts'
import type { Admission } from './admission.ts'
import type { EventIndex } from './event-index.ts'
import type { EventSource } from './event-source.ts'
import type { KnownEvent } from './known-event.ts'
import type { ReceivedEvent } from './read-pdu.ts'

/** How much is asked for on behalf of one batch; what still lacks something then is left out. */
export interface MissingLimits {
  /** Events on the way back to what is here. */
  readonly prevEvents: number
  /** Prev events for which the state is asked for, the way to them being too long. */
  readonly gaps: number
  /** Auth events, those of asked-for states included. */
  readonly authEvents: number
}

export const DEFAULT_MISSING_LIMITS: MissingLimits = { prevEvents: 1000, gaps: 5, authEvents: 50_000 }

const PREV_EVENTS_A_TIME = 100
const EVENTS_A_TIME = 100
const MAX_ROUNDS = 50

/** A state by the word of another server. */
export interface GivenState {
  readonly state: StateDelta
  /** Keys of it that have a number only in memory. */
  readonly newKeys: ReadonlyArray<{ readonly nid: number; readonly type: string; readonly stateKey: string }>
}

/** Stores events known only as a part of auth chains and states. */
export type StoreOutliers = (events: readonly ReceivedEvent[]) => Promise<void>

/**
 * Finds what the events of a batch name and this server has not: prev events first, which bring most auth events along; where the
 * way back is too long the state there; auth events last.
 *
 * Spec: server-server API, "Backfilling and retrieving missing events", "Retrieving event authorisation information".
 */
export class MissingEvents {
  readonly #head: RoomHead
  readonly #index: EventIndex
  readonly #admission: Admission
  readonly #source: EventSource
  readonly #stateKeys: StateKeys
  readonly #storeOutliers: StoreOutliers
  readonly #limits: MissingLimits

  constructor(options: {
    head: RoomHead
    index: EventIndex
    admission: Admission
    source: EventSource
    stateKeys: StateKeys
    storeOutliers: StoreOutliers
    limits: MissingLimits
  }) {
    this.#head = options.head
    this.#index = options.index
    this.#admission = options.admission
    this.#source = options.source
    this.#stateKeys = options.stateKeys
    this.#storeOutliers = options.storeOutliers
    this.#limits = options.limits
  }

  /** Adds to `events` those that lie between them and what is here. */
  async fillPrevEvents(events: Map<string, ReceivedEvent>): Promise<void> {
    const most = events.size + this.#limits.prevEvents
    for (let round = 0; round < MAX_ROUNDS && events.size < most; round++) {
      const latest: string[] = []
      for (const event of events.values()) if ((await this.missingPrevs(event, events)).length > 0) latest.push(event.eventId)
      if (latest.length === 0) return
      const answer = await this.#ask(() =>
        this.#source.missingEvents({
          roomId: this.#head.roomId,
          earliest: this.#head.extremities.map(({ eventId }) => eventId),
          latest: latest.slice(0, PREV_EVENTS_A_TIME),
          limit: PREV_EVENTS_A_TIME,
        }),
      )
      const before = events.size
      const found = await this.#admission.admit(answer.slice(0, PREV_EVENTS_A_TIME))
      await this.#index.look(found.map(({ eventId }) => eventId))
      for (const event of found) if (this.#index.get(event.eventId)?.placed !== true) events.set(event.eventId, event)
      if (events.size === before) return
    }
  }

  /** The prev events of an event that have no place here and none among `events`. */
  async missingPrevs(event: ReceivedEvent, events: ReadonlyMap<string, ReceivedEvent>): Promise<string[]> {
    const elsewhere = event.prevIds.filter((id) => !events.has(id))
    await this.#index.look(elsewhere)
    return elsewhere.filter((id) => this.#index.get(id)?.placed !== true)
  }

  /**
   * The states after these prev events, by what the source says of them. Those it says nothing usable about are left out.
   * The events of such a state are each allowed by their auth events; that they stand together there is the source's word.
   */
  async statesAfter(prevIds: readonly string[]): Promise<Map<string, GivenState>> {
    const states = new Map<string, GivenState>()
    for (const prevId of prevIds.slice(0, this.#limits.gaps)) {
      const stateIds = await this.#ask(async () => (await this.#source.stateIdsBefore(this.#head.roomId, prevId)) ?? [])
      if (stateIds.length === 0 || stateIds.length > this.#limits.authEvents) continue
      await this.fillAuthEvents([prevId, ...stateIds])
      const state = await this.#stateOf(stateIds, prevId)
      if (state !== undefined) states.set(prevId, state)
    }
    return states
  }

  /**
   * Stores these events, and all that their auth chains lack, as outliers.
   * @param beside events that are about to be placed: stored as outliers before where an outlier stands on them
   * @returns the ids of events whose auth chain could not be completed
   */
  async fillAuthEvents(ids: Iterable<string>, beside: ReadonlyMap<string, ReceivedEvent> = new Map()): Promise<Set<string>> {
    const found = new Map<string, ReceivedEvent>()
    const absent = new Set<string>()
    let wanted = new Set<string>()
    for (const id of ids) if (!beside.has(id)) wanted.add(id)
    while (wanted.size > 0) {
      await this.#index.look(wanted)
      const next = new Set<string>()
      const keep = (event: ReceivedEvent) => {
        found.set(event.eventId, event)
        for (const authId of event.authIds) next.add(authId)
      }
      const lacking = [...wanted].filter((id) => this.#index.get(id) === undefined && !found.has(id) && !absent.has(id))
      for (const id of lacking) if (beside.has(id)) keep(beside.get(id) as ReceivedEvent)
      const missing = lacking.filter((id) => !found.has(id))
      if (found.size + missing.length > this.#limits.authEvents) {
        for (const id of missing) absent.add(id)
        break
      }
      for (let i = 0; i < missing.length; i += EVENTS_A_TIME) {
        const asked = missing.slice(i, i + EVENTS_A_TIME)
        const answer = await this.#ask(() => this.#source.events(this.#head.roomId, asked))
        const askedFor = new Set(asked)
        for (const event of await this.#admission.admit(answer.slice(0, EVENTS_A_TIME))) {
          if (askedFor.has(event.eventId)) keep(event)
        }
        for (const id of asked) if (!found.has(id)) absent.add(id)
      }
      wanted = next
    }
    const complete = withoutBroken(found, absent)
    if (complete.length > 0) await this.#storeOutliers(complete)
    return absent
  }

  async #stateOf(stateIds: readonly string[], prevId: string): Promise<GivenState | undefined> {
    const state: StateDelta = new Map()
    const newKeys: Array<{ nid: number; type: string; stateKey: string }> = []
    const known = [...stateIds, prevId].flatMap((id) => this.#index.get(id) ?? []).filter((event) => this.#mayBeState(event))
    await this.#stateKeys.prepare(known.map(({ row }) => [row.type, row.stateKey as string] as const))
    let hasCreate = false
    for (const { row } of known) {
      const { type } = row
      const stateKey = row.stateKey as string
      const key = this.#stateKeys.known(type, stateKey) as number
      if (this.#stateKeys.isUnwritten(type, stateKey)) newKeys.push({ nid: key, type, stateKey })
      const before = state.get(key)
      if (before !== undefined && row.eventId !== prevId) return undefined
      state.set(key, row.eventNid)
      if (type === 'm.room.create') hasCreate = true
    }
    return hasCreate ? { state, newKeys } : undefined
  }

  #mayBeState({ row }: KnownEvent): boolean {
    return row.stateKey !== undefined && !row.rejected && row.roomNid === this.#head.roomNid
  }

  /** A source that fails has nothing to say. */
  async #ask<T>(question: () => Promise<readonly T[]>): Promise<readonly T[]> {
    try {
      return await question()
    } catch {
      return []
    }
  }
}

/** The events whose auth events are all here or among them, auth events first. The ids of the others are added to `absent`. */
function withoutBroken(found: ReadonlyMap<string, ReceivedEvent>, absent: Set<string>): ReceivedEvent[] {
  const ordered: ReceivedEvent[] = []
  const state = new Map<string, 'open' | 'done'>()
  for (const start of found.values()) {
    const stack = [start]
    for (let event = stack.at(-1); event !== undefined; event = stack.at(-1)) {
      const { eventId, authIds } = event
      if (state.get(eventId) === 'done') {
        stack.pop()
        continue
      }
      const opened = state.has(eventId)
      state.set(eventId, 'open')
      // An auth event that is open already stands on a circle, as ids that servers make up allow.
      const next = opened ? undefined : authIds.flatMap((id) => found.get(id) ?? []).filter((other) => !state.has(other.eventId))
      if (next !== undefined && next.length > 0) {
        stack.push(...next)
        continue
      }
      stack.pop()
      state.set(eventId, 'done')
      const broken = authIds.some((id) => absent.has(id) || (found.has(id) && state.get(id) !== 'done'))
      if (broken) absent.add(eventId)
      else ordered.push(event)
    }
  }
  return ordered
}
