import { ALLOWED, referenceHash, reject, type Verdict } from '@weft/matrix'
import { eventGraphWriter, isStorableId } from '@weft/storage'
import { authDepthOver } from '../append-event.ts'
import type { IdSource } from '../ids.ts'
import { type Extremity, keptContent, type RoomHead, type StateEntry } from '../room-head.ts'
import { type RoomLimits, refusedByLimits } from '../room-limits.ts'
import type { StateDelta } from '../state-delta.ts'
import { StateGroupChain } from '../state-groups.ts'
import { CurrentState } from './current-state.ts'
import type { EventIndex } from './event-index.ts'
import type { HeldGate } from './gate.ts'
import { entriesAt, type StateAt, wholeState } from './group-states.ts'
import { allowedByAuthEvents, allowedByState } from './judge.ts'
import { KnownEvent } from './known-event.ts'
import { buildOn, type LocalDraft, type LocalEventTools } from './local-event.ts'
import type { GivenState } from './missing-events.ts'
import { graphRow, type PlacedEvent, type PlacedEvents, placedEvent } from './placed-events.ts'
import type { ReceivedEvent } from './read-pdu.ts'
import { Redactions, redactedId } from './redactions.ts'
import { StateViews } from './state-views.ts'
import { type StateTools, StateWorkshop } from './state-workshop.ts'
import type { Turns } from './turns.ts'

/** An event that clients are never shown: it only ties forks together. */
export const DUMMY_EVENT = 'org.matrix.dummy_event'

/** How far the history below rejected and soft-failed events is followed for extremities that are none any more. */
const MAX_HIDDEN = 1000

export interface PlacingTools extends StateTools {
  readonly eventNids: IdSource
  readonly roomLimits: RoomLimits
}

/** An event to be placed: its auth events and prev events are in the index, but for prev events whose state is given. */
export interface Arrival {
  readonly event: ReceivedEvent
  /** The states after prev events that are not to be had. */
  readonly given: readonly GivenState[]
}

/** What became of an event. */
export interface Placement {
  readonly outcome: 'accepted' | 'rejected' | 'soft-failed'
  readonly verdict: Verdict
}

/**
 * Places events of one room, one after the other, in the graph and in the state; all of them are committed together. Works on the
 * head itself, under its gate: when it throws, the head has to be dropped.
 *
 * Spec: server-server API, "Checks performed on receipt of a PDU", "Rejection", "Soft failure".
 */
export class Placing {
  readonly #tools: PlacingTools
  readonly #head: RoomHead
  readonly #quiet: () => Promise<void>
  readonly #index: EventIndex
  readonly #turns: Turns
  readonly #states: StateWorkshop
  readonly #views: StateViews
  readonly #current: CurrentState
  readonly #redactions: Redactions
  readonly #events: PlacedEvent[] = []
  readonly #holes = new Set<string>()
  readonly #entered: Array<{ readonly event: ReceivedEvent; readonly known: KnownEvent; readonly before: KnownEvent | undefined }> = []

  constructor(options: {
    tools: PlacingTools
    gate: HeldGate
    index: EventIndex
    early: ReadonlyMap<string, readonly KnownEvent[]>
    turns: Turns
  }) {
    const { head, quiet } = options.gate
    this.#quiet = quiet
    this.#tools = options.tools
    this.#head = head
    this.#index = options.index
    this.#turns = options.turns
    this.#states = new StateWorkshop(options.tools, head, quiet)
    this.#views = new StateViews({ head, index: options.index, stateKeys: options.tools.stateKeys })
    this.#current = new CurrentState(head, this.#states)
    this.#redactions = new Redactions(head, options.early)
  }

  /** Places an event. @throws ResolutionExceeded, ConnectionLost: the head is then not to be used any more */
  async place(arrival: Arrival): Promise<Placement> {
    await this.#turns.rest()
    const { event } = arrival
    const before = await this.#stateBefore(arrival)
    const { placement, authEvents } = await this.#judge(arrival, before)
    const accepted = placement.outcome === 'accepted'
    const { type, state_key: stateKey } = event.pdu
    const stored = this.#index.get(event.eventId)
    const eventNid = stored?.row.eventNid ?? (await this.#take(this.#tools.eventNids))
    const stateKeyNid = stateKey === undefined ? undefined : await this.#states.keyNid({ type, stateKey, stateKeyNid: undefined })
    const replaces = stateKeyNid === undefined ? undefined : entriesAt(before, [stateKeyNid]).get(stateKeyNid)

    let groups: StateGroupChain | undefined
    let stateGroup: number | undefined
    if (stateKeyNid !== undefined && placement.outcome !== 'rejected') {
      groups = this.#states.set(before, stateKeyNid, eventNid, replaces === undefined)
      stateGroup = groups.stateGroup
    } else {
      stateGroup = await this.#states.groupOf(before)
    }
    const row = graphRow(event, {
      eventNid,
      roomNid: this.#head.roomNid,
      authDepth: authDepthOver(authEvents.map((other) => other.row)),
      stateGroup,
      outlier: false,
      softFailed: placement.outcome === 'soft-failed',
      rejected: placement.outcome === 'rejected',
    })
    const known = new KnownEvent(row, this.#head)
    if (stateKeyNid !== undefined && !row.rejected) this.#states.addEvent(row, stateKeyNid)
    const inTimeline = accepted && type !== DUMMY_EVENT
    const at = this.#events.length
    if (accepted) await this.#advance(event, known, before, inTimeline ? at : undefined, groups, stateKeyNid)
    const { redacts, redactedBefore } = await this.#redactionsOf(event, known, before)
    const rejectionReason = placement.verdict.ok ? undefined : placement.verdict.rule
    const wasOutlier = stored !== undefined
    this.#events.push(
      placedEvent(event, row, { inTimeline, wasOutlier, rejectionReason, replacesState: replaces, redacts, redactedBefore }),
    )
    this.#entered.push({ event, known, before: stored })
    this.#index.add(known)
    return placement
  }

  /**
   * Builds an event of this server on some of the forward extremities, and places it.
   * @param extremities at most as many as an event can name; in the index
   */
  async placeLocal(
    draft: LocalDraft,
    extremities: readonly Extremity[],
    tools: LocalEventTools,
  ): Promise<Placement & { readonly eventId: string }> {
    await this.#quiet()
    await this.#index.look(extremities.map(({ eventId }) => eventId))
    const before = await this.#stateAfter(extremities.map(({ eventId }) => eventId))
    this.#keepHashes(tools)
    const built = await buildOn(this.#head, this.#views, extremities, before, draft, tools)
    if (!built.ok) return { outcome: 'rejected', verdict: built, eventId: '' }
    const { event } = built
    await this.#index.look([event.eventId, ...event.authIds])
    return { ...(await this.place({ event, given: [] })), eventId: event.eventId }
  }

  /** References of room versions 1 and 2 name hashes, and those of what is not committed yet are in no table. */
  #keepHashes({ firstFormat }: LocalEventTools): void {
    const { version } = this.#head
    if (version.eventFormat !== 1) return
    for (const { event, known } of this.#entered) firstFormat.keep(known.row.eventNid, referenceHash(event.pdu, version))
  }

  /** The number given to an event that was placed. */
  nidOf(eventId: string): number {
    return this.#entered.find(({ known }) => known.eventId === eventId)?.known.row.eventNid as number
  }

  /** Makes the head's state that of the extremities. @throws ResolutionExceeded */
  settle(): Promise<void> {
    return this.#current.settle(this.#lastInTimeline())
  }

  /** Resolves what still waits, and answers all there is to commit. @throws ResolutionExceeded */
  async finish(): Promise<PlacedEvents> {
    const inTimeline = (eventNid: number) => this.#events.some((event) => event.inTimeline && event.row.eventNid === eventNid)
    await this.settle()
    const here = this.#events.map(({ row }) => row.eventId)
    const { roomNid } = this.#head
    return {
      events: this.#events,
      groups: this.#states.groups,
      changes: this.#current.changes,
      keys: [...this.#states.keys.values()],
      extremities: this.#current.listed(inTimeline),
      statements: [
        eventGraphWriter.removeBackwardExtremities(roomNid, here),
        ...(this.#holes.size > 0 ? [eventGraphWriter.addBackwardExtremities(roomNid, [...this.#holes])] : []),
        ...this.#redactions.statements(),
      ],
    }
  }

  /** Takes the events out of the index again: they will not be committed. */
  undo(): void {
    for (const { known, before } of this.#entered.splice(0)) this.#index.restore(known, before)
  }

  /** True where the room's state may have grown. */
  get hasState(): boolean {
    return this.#entered.some(({ known }) => known.row.stateKey !== undefined)
  }

  /** The current forward extremities, those of placed events included. */
  get extremities() {
    return this.#current.extremities
  }

  async #stateBefore({ event, given }: Arrival): Promise<StateAt> {
    for (const id of event.prevIds) if (this.#index.get(id)?.placed !== true && isStorableId(id)) this.#holes.add(id)
    for (const { newKeys } of given) this.#states.addKeys(newKeys)
    return this.#stateAfter(
      event.prevIds,
      given.map(({ state }) => state),
    )
  }

  /** The state that events have together. @param wholes and the states after others that are not here */
  async #stateAfter(eventIds: readonly string[], wholes: readonly StateDelta[] = []): Promise<StateAt> {
    if (wholes.length === 0 && eventIds.length > 0 && this.#current.isTip(eventIds)) {
      await this.settle()
      return this.#states.current()
    }
    const groups = new Set<number>()
    for (const id of eventIds) {
      const prev = this.#index.get(id)
      if (prev?.placed) groups.add(prev.row.stateGroup as number)
    }
    const [only] = groups
    if (wholes.length === 0 && only !== undefined && groups.size === 1) return this.#states.ofGroup(only)
    if (groups.size + wholes.length > 0) return (await this.#states.resolve([...groups], wholes, undefined)).state
    return { chain: StateGroupChain.empty(), delta: undefined, size: 0 }
  }

  async #judge({ event, given }: Arrival, before: StateAt): Promise<{ placement: Placement; authEvents: KnownEvent[] }> {
    const { version } = this.#head
    const { view } = event
    const authEvents = event.authIds.flatMap((id) => this.#index.get(id) ?? [])
    const create = this.#head.get('m.room.create', '')
    if (view.type === 'm.room.create' && create !== undefined) {
      // NOTSPEC: the rules allow any create event without prev events, and a room has but one.
      return { placement: { outcome: 'rejected', verdict: reject('auth.1', 'the room has a create event') }, authEvents }
    }
    let verdict = allowedByAuthEvents(version, view, authEvents, create)
    if (verdict.ok) verdict = allowedByState(version, view, await this.#views.judging(view, before))
    if (verdict.ok) verdict = refusedByLimits(this.#head, view, this.#tools.roomLimits) ?? verdict
    if (!verdict.ok) return { placement: { outcome: 'rejected', verdict }, authEvents }
    if (this.#views.isHeads(before) && !this.#current.waits) return { placement: { outcome: 'accepted', verdict }, authEvents }

    if (this.#current.authWaits) await this.settle()
    verdict = this.#head.stateSize === 0 ? ALLOWED : allowedByState(version, view, this.#head)
    if (!verdict.ok && given.length > 0) {
      // Behind a hole in the history somebody may have joined: the event's own past belongs to the room that it is judged by.
      const groups = new Set(this.#current.extremities.map(({ stateGroup }) => stateGroup as number))
      const { state } = await this.#states.resolve([...groups], [wholeState(before)], undefined)
      verdict = allowedByState(version, view, await this.#views.judging(view, state))
    }
    return { placement: { outcome: verdict.ok ? 'accepted' : 'soft-failed', verdict }, authEvents }
  }

  /** Moves the extremities, and the current state with them. */
  async #advance(
    event: ReceivedEvent,
    known: KnownEvent,
    before: StateAt,
    at: number | undefined,
    groups: StateGroupChain | undefined,
    stateKeyNid: number | undefined,
  ): Promise<void> {
    const { row } = known
    const extremity = { eventNid: row.eventNid, eventId: row.eventId, depth: row.depth, stateGroup: row.stateGroup }
    const gone = await this.#leftBehind(event)
    const { extremities } = this.#current
    // Shown, and no place to build on: its fork counts once an event ties it in. One that names extremities adds none.
    const isOneMore = !extremities.some(({ eventId }) => gone.has(eventId))
    if (isOneMore && extremities.length >= this.#tools.roomLimits.extremities) return
    const alone = extremities.every(({ eventId }) => gone.has(eventId))
    if (!alone || !this.#views.isHeads(before) || this.#current.waits) {
      this.#current.fork(extremity, gone, known)
      return
    }
    const { eventNid, eventId, sender, type, authDepth } = row
    if (groups === undefined || stateKeyNid === undefined || row.stateKey === undefined) {
      this.#current.step(extremity, at ?? this.#lastInTimeline(), undefined)
      return
    }
    const content = keptContent(type, known.content)
    const entry: StateEntry = {
      stateKeyNid,
      eventNid,
      eventId,
      sender,
      type,
      stateKey: row.stateKey,
      content,
      roomId: known.roomId,
      authDepth,
    }
    this.#current.step(extremity, at ?? this.#lastInTimeline(), { entry, groups })
  }

  /** The ids that are no extremities after this event: its prev events, and what stands behind those that never were any. */
  async #leftBehind(event: ReceivedEvent): Promise<Set<string>> {
    const gone = new Set(event.prevIds)
    let open = event.prevIds
    while (open.length > 0 && gone.size < MAX_HIDDEN) {
      const hidden = open.flatMap((id) => this.#index.get(id) ?? []).filter(({ row }) => row.rejected || row.softFailed)
      const behind = [...new Set(hidden.flatMap((known) => known.prevIds))].filter((id) => !gone.has(id))
      await this.#index.look(behind)
      for (const id of behind) gone.add(id)
      open = behind
    }
    return gone
  }

  /** What the event redacts, and whether it is redacted itself. */
  async #redactionsOf(
    event: ReceivedEvent,
    known: KnownEvent,
    before: StateAt,
  ): Promise<{ redacts: PlacedEvent['redacts']; redactedBefore: boolean }> {
    const { rejected, softFailed } = known.row
    const target = rejected || softFailed ? undefined : redactedId(event, this.#head.version)
    let redacts: PlacedEvent['redacts']
    if (target !== undefined) {
      redacts = await this.#redactions.redaction(known, target, this.#index.get(target), () => this.#views.powerLevels(before))
    }
    const redactedBefore = await this.#redactions.target(known, async (redaction) =>
      this.#views.powerLevels(await this.#states.ofGroup(redaction.row.stateGroup as number)),
    )
    return { redacts, redactedBefore }
  }

  #lastInTimeline(): number {
    return this.#events.findLastIndex((event) => event.inTimeline)
  }

  async #take(source: IdSource): Promise<number> {
    return (source.tryTake(1) ?? (await source.take(1)))[0] as number
  }
}
