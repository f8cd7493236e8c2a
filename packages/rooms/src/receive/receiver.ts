import { compileServerAcl, type JsonValue, MatrixError, type RoomVersion, roomVersions, type ServerAcl } from '@weft/matrix'
import type { EventGraphReader, RoomRow, RoomsReader } from '@weft/storage'
import { type CommitLoop, NotCommitted } from '../commit-loop.ts'
import type { HeadCache } from '../head-cache.ts'
import { ResolutionExceeded } from '../resolution/resolution.ts'
import { RoomHead } from '../room-head.ts'
import { Admission, type Admitted } from './admission.ts'
import { EventIndex } from './event-index.ts'
import { type EventSource, NO_SOURCE } from './event-source.ts'
import type { ForkMerger } from './fork-merger.ts'
import { withGate } from './gate.ts'
import type { KnownEvent } from './known-event.ts'
import { DEFAULT_MISSING_LIMITS, MissingEvents, type MissingLimits } from './missing-events.ts'
import { inOrder } from './order.ts'
import { outliersToPlace } from './outliers.ts'
import { type Arrival, Placing, type PlacingTools } from './placing.ts'
import type { ReceivedEvent } from './read-pdu.ts'
import { redactedId } from './redactions.ts'
import { ReceiveQueueFull, RoomQueues } from './room-queues.ts'
import type { KeyLookup } from './signatures.ts'
import { Turns } from './turns.ts'

/** What became of a received event. Only `accepted` is shown to clients. */
export interface Received {
  /** Absent where it has none: it was not read that far. */
  readonly eventId: string | undefined
  readonly outcome:
    | 'accepted'
    /** Here already. */
    | 'known'
    /** Not stored: malformed, of another room, not signed. */
    | 'dropped'
    | 'rejected'
    | 'soft-failed'
    /** Not stored: something that it needs is not to be had now. It may come again. */
    | 'unavailable'
  /** The rule that refused it, and a sentence. */
  readonly rule?: string
  readonly reason?: string
}

/** Events of one room, as another server sent them. */
export interface ReceiveRequest {
  readonly roomId: string
  /** Parsed losslessly (`parseJson`), in any order. */
  readonly pdus: readonly JsonValue[]
  /** The server that sent them. */
  readonly origin?: string
  /** Whom to ask for what is missing. */
  readonly source?: EventSource
}

/** What a {@link Receiver} stands on. */
export interface ReceiverOptions extends PlacingTools {
  readonly heads: HeadCache
  readonly loop: CommitLoop
  readonly rooms: RoomsReader
  readonly graph: EventGraphReader
  readonly roomNids: PlacingTools['eventNids']
  readonly keys: KeyLookup
  readonly merger: ForkMerger
  readonly limits?: MissingLimits
  readonly metrics?: { received(outcome: Received['outcome']): void }
}

/** Spec: server-server API, "Transactions": at most 50 PDUs. */
const MAX_PDUS = 50
/** Events that are placed, resolved and committed together. */
const EVENTS_A_STEP = 100
/** Events that wait, of all rooms and of one. */
const MAX_WAITING = 20_000
const MAX_WAITING_OF_ROOM = 2000
const MAX_ATTEMPTS = 4

/**
 * The one way an event of another server gets into a room: checks, what it names, judgement, place, commit. Rooms do not wait for
 * each other; within a room events are received in the order they came, and the users of this server send in between.
 *
 * Spec: server-server API, "Checks performed on receipt of a PDU".
 */
export class Receiver {
  readonly #o: ReceiverOptions
  readonly #queues: RoomQueues
  readonly #acls = new WeakMap<object, ServerAcl>()

  constructor(options: ReceiverOptions) {
    this.#o = options
    this.#queues = new RoomQueues(MAX_WAITING_OF_ROOM, MAX_WAITING)
  }

  /** Events that wait or are worked on. */
  get waiting(): number {
    return this.#queues.size
  }

  /**
   * Receives events of a room that this server is in. Each fares for itself: the answer is parallel to the events (R02).
   * @throws ReceiveQueueFull; MatrixError M_NOT_FOUND for an unknown room, M_FORBIDDEN where the room shuts the origin out, M_TOO_LARGE
   * for more than a transaction may hold; ConnectionLost
   */
  async receive(request: ReceiveRequest): Promise<Received[]> {
    if (request.origin !== undefined && request.pdus.length > MAX_PDUS) {
      throw new MatrixError('M_TOO_LARGE', `A transaction has at most ${MAX_PDUS} PDUs`)
    }
    return this.#queues.run(request.roomId, request.pdus.length, async () => {
      for (let n = 1; ; n++) {
        try {
          const head = await this.#o.heads.get(request.roomId)
          this.#refuseShutOut(head, request.origin)
          const received = await this.#receive(head, request, n > 1)
          for (const { outcome } of received) this.#o.metrics?.received(outcome)
          return received
        } catch (error) {
          if (!isRetried(error) || n === MAX_ATTEMPTS) throw error
        }
      }
    })
  }

  /**
   * Brings a room into being by its create event, with the events that follow it. The caller has decided that it wants the room.
   * @throws MatrixError M_UNSUPPORTED_ROOM_VERSION, M_BAD_JSON where there is no allowed create event; as {@link receive}
   */
  async open(request: ReceiveRequest & { readonly roomVersion: string }): Promise<Received[]> {
    const version = roomVersions.get(request.roomVersion)
    if (version === undefined) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', `Room version ${request.roomVersion} is not supported`)
    await this.#queues.run(request.roomId, 1, async () => {
      if ((await this.#o.rooms.byRoomId(request.roomId)) === undefined) await this.#create(request, version)
    })
    return this.receive(request)
  }

  async #create({ roomId, pdus }: ReceiveRequest, version: RoomVersion): Promise<void> {
    const create = pdus.filter((value) => (value as { type?: unknown } | null)?.type === 'm.room.create')
    const roomNid = (await this.#o.roomNids.take(1))[0] as number
    const head = new RoomHead({ roomNid, roomId, version })
    const index = new EventIndex(this.#o.graph, head)
    const turns = new Turns()
    const [event] = await new Admission({ room: head, keys: this.#o.keys, turns }).admit(create)
    if (event === undefined) throw new MatrixError('M_BAD_JSON', 'There is no create event of this room')
    const newRoom: RoomRow = { roomNid, roomId, roomVersion: version.id, creator: event.pdu.sender }
    await withGate(head, this.#o.heads, async (gate) => {
      const placing = new Placing({ tools: this.#o, gate, index, early: new Map(), turns })
      const { outcome, verdict } = await placing.place({ event, given: [] })
      if (outcome !== 'accepted')
        throw new MatrixError('M_BAD_JSON', `The create event is not allowed: ${verdict.ok ? '' : verdict.reason}`)
      return this.#o.loop.commit({ head, events: [], placed: await placing.finish(), newRoom })
    })
    this.#o.heads.keep(head)
  }

  /** @param alone commits in transactions of its own: events that failed with others before */
  async #receive(head: RoomHead, { pdus, source = NO_SOURCE }: ReceiveRequest, alone: boolean): Promise<Received[]> {
    const turns = new Turns()
    const index = new EventIndex(this.#o.graph, head)
    const admission = new Admission({ room: head, keys: this.#o.keys, turns })
    const results: Array<Received | undefined> = []
    const events = await this.#admitNew(await admission.read(pdus), { head, index, admission, results })
    const missing = new MissingEvents({
      head,
      index,
      admission,
      source,
      stateKeys: this.#o.stateKeys,
      limits: this.#o.limits ?? DEFAULT_MISSING_LIMITS,
      storeOutliers: async (outliers) => this.#storeOutliers(await this.#o.heads.get(head.roomId), index, outliers, turns),
    })
    await missing.fillPrevEvents(events)
    const arrivals = await this.#arrivals(events, missing)
    const outcomes = await this.#place(head, index, arrivals, turns, alone)
    return results.map((result, i) => {
      if (result?.eventId === undefined || result.outcome !== 'unavailable') return result as Received
      const first = results.findIndex((other) => other?.eventId === result.eventId)
      return (
        (i === first ? outcomes.get(result.eventId) : undefined) ?? (i === first ? result : { eventId: result.eventId, outcome: 'known' })
      )
    })
  }

  /** Those that are new here and signed; enters the results of the others, and "unavailable" for these until they are placed. */
  async #admitNew(
    read: readonly Admitted[],
    work: { head: RoomHead; index: EventIndex; admission: Admission; results: Array<Received | undefined> },
  ): Promise<Map<string, ReceivedEvent>> {
    const { index, results } = work
    await index.look(read.flatMap((admitted) => (admitted.ok ? [admitted.event.eventId] : [])))
    const fresh = new Map<string, ReceivedEvent>()
    for (const [i, admitted] of read.entries()) {
      if (!admitted.ok) {
        results[i] = { eventId: undefined, outcome: 'dropped', rule: admitted.rule, reason: admitted.reason }
        continue
      }
      const { eventId } = admitted.event
      const stored = index.get(eventId)
      if (stored !== undefined && stored.row.roomNid !== work.head.roomNid) {
        results[i] = { eventId, outcome: 'dropped', rule: 'room.id', reason: 'another room has an event of this id' }
      } else if (stored !== undefined && !stored.row.outlier) {
        results[i] = { eventId, outcome: 'known' }
      } else {
        results[i] = { eventId, outcome: 'unavailable', reason: 'what it stands on is not to be had' }
        fresh.set(eventId, admitted.event)
      }
    }
    const events = new Map<string, ReceivedEvent>()
    for (const verified of await work.admission.verify([...fresh.values()])) {
      if (verified.ok) {
        events.set(verified.event.eventId, verified.event)
        continue
      }
      const eventId = verified.event?.eventId
      for (const [i, result] of results.entries()) {
        if (result?.eventId === eventId) results[i] = { eventId, outcome: 'dropped', rule: verified.rule, reason: verified.reason }
      }
    }
    return events
  }

  /** The events that have all they need, in order. */
  async #arrivals(events: Map<string, ReceivedEvent>, missing: MissingEvents): Promise<Arrival[]> {
    const holes = new Set<string>()
    for (const event of events.values()) for (const id of await missing.missingPrevs(event, events)) holes.add(id)
    const states = holes.size === 0 ? new Map() : await missing.statesAfter([...holes])
    const absent = await missing.fillAuthEvents(
      [...events.values()].flatMap(({ authIds }) => authIds),
      events,
    )
    const left = new Set([...holes].filter((id) => !states.has(id)))
    const arrivals: Arrival[] = []
    const ordered = inOrder(events)
    const orderedIds = new Set(ordered.map(({ eventId }) => eventId))
    for (const id of events.keys()) if (!orderedIds.has(id)) left.add(id)
    for (const event of ordered) {
      if (event.prevIds.some((id) => left.has(id)) || event.authIds.some((id) => absent.has(id) || left.has(id))) left.add(event.eventId)
      else arrivals.push({ event, given: event.prevIds.flatMap((id) => states.get(id) ?? []) })
    }
    return arrivals
  }

  async #place(
    head: RoomHead,
    index: EventIndex,
    arrivals: readonly Arrival[],
    turns: Turns,
    alone: boolean,
  ): Promise<Map<string, Received>> {
    const outcomes = new Map<string, Received>()
    let stepSize = EVENTS_A_STEP
    for (let i = 0; i < arrivals.length; ) {
      const step = arrivals.slice(i, i + stepSize)
      const early = await this.#earlyRedactions(head, index, step)
      // Asked for anew: while others were asked for what is missing, it may have left the cache, and come back as another.
      const at = await this.#o.heads.get(head.roomId)
      try {
        const work = { arrivals: step, early, earlier: outcomes }
        for (const [eventId, received] of await this.#placeStep(at, index, work, turns, alone)) outcomes.set(eventId, received)
        i += step.length
      } catch (error) {
        if (!(error instanceof ResolutionExceeded)) throw error
        // The one that is too much is found one by one; what stands on it is left out too.
        if (step.length === 1) {
          const { eventId } = (step[0] as Arrival).event
          outcomes.set(eventId, { eventId, outcome: 'unavailable', rule: 'state.exceeded', reason: error.message })
          i++
        }
        stepSize = 1
      }
    }
    return outcomes
  }

  async #placeStep(
    head: RoomHead,
    index: EventIndex,
    work: {
      readonly arrivals: readonly Arrival[]
      readonly early: ReadonlyMap<string, readonly KnownEvent[]>
      readonly earlier: ReadonlyMap<string, Received>
    },
    turns: Turns,
    alone: boolean,
  ): Promise<Array<[string, Received]>> {
    const { heads, loop } = this.#o
    const { arrivals, early, earlier } = work
    const { results, hasState, committed } = await withGate(head, heads, async (gate) => {
      if (head.stale) throw new NotCommitted('the head went stale', { alone: false, cause: undefined })
      if (loop.full) throw new ReceiveQueueFull('too much waits to be committed')
      const placing = new Placing({ tools: this.#o, gate, index, early, turns })
      const results: Array<[string, Received]> = []
      try {
        for (const arrival of arrivals) {
          const { eventId } = arrival.event
          const { prevIds, authIds } = arrival.event
          if ([...prevIds, ...authIds].some((id) => earlier.get(id)?.outcome === 'unavailable')) {
            results.push([eventId, { eventId, outcome: 'unavailable', reason: 'what it stands on is not to be had' }])
            continue
          }
          const { outcome, verdict } = await placing.place(arrival)
          results.push([eventId, { eventId, outcome, ...(verdict.ok ? {} : { rule: verdict.rule, reason: verdict.reason }) }])
        }
        await this.#o.merger.merge(head, placing)
        const placed = await placing.finish()
        // Not awaited inside: users may send on while it is committed.
        return { results, hasState: placing.hasState, committed: { done: loop.commit({ head, events: [], placed, alone }) } }
      } catch (error) {
        placing.undo()
        heads.drop(head)
        throw error
      }
    })
    if (hasState) heads.keep(head)
    await committed.done
    return results
  }

  async #earlyRedactions(head: RoomHead, index: EventIndex, arrivals: readonly Arrival[]): Promise<Map<string, KnownEvent[]>> {
    const ids = arrivals.map(({ event }) => event.eventId)
    const [found] = await Promise.all([
      this.#o.graph.earlyRedactions(head.roomNid, ids),
      index.look(arrivals.flatMap(({ event }) => redactedId(event, head.version) ?? [])),
    ])
    const redactions = new Map((await index.byNids(found.map(({ eventNid }) => eventNid))).map((known) => [known.row.eventNid, known]))
    const early = new Map<string, KnownEvent[]>()
    for (const { redacts, eventNid } of found) {
      const redaction = redactions.get(eventNid)
      if (redaction !== undefined) early.set(redacts, [...(early.get(redacts) ?? []), redaction])
    }
    return early
  }

  async #storeOutliers(head: RoomHead, index: EventIndex, outliers: readonly ReceivedEvent[], turns: Turns): Promise<void> {
    for (let i = 0; i < outliers.length; i += EVENTS_A_STEP) {
      const placed = await outliersToPlace(head, index, outliers.slice(i, i + EVENTS_A_STEP), { eventNids: this.#o.eventNids, turns })
      await this.#o.loop.commit({ head, events: [], placed })
    }
  }

  /** Spec: client-server API, "m.room.server_acl". Compiled once for each such event. */
  #refuseShutOut(head: RoomHead, origin: string | undefined): void {
    const content = origin === undefined ? undefined : head.content('m.room.server_acl')
    if (origin === undefined || content === undefined) return
    let acl = this.#acls.get(content)
    if (acl === undefined) {
      acl = compileServerAcl(content)
      this.#acls.set(content, acl)
    }
    if (!acl.allows(origin)) throw new MatrixError('M_FORBIDDEN', `${origin} is shut out of this room`)
  }
}

/** Failures that another attempt on a new head may not meet. */
function isRetried(error: unknown): boolean {
  return error instanceof NotCommitted && !error.alone
}
