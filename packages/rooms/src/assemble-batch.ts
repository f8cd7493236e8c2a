import type { Relation } from '@weft/matrix'
import type { CurrentStateDeltasRow, EventsRow } from '@weft/replication'
import {
  type BoundSql,
  type EventRow,
  type EventTxn,
  eventsWriter,
  groupOfEvent,
  isStored,
  type MembershipRow,
  membershipsWriter,
  type RelationRow,
  type RoomRow,
  relationsWriter,
  roomsWriter,
  type StateDeltaRow,
  type StateGroupRow,
  type StoredStateGroup,
  stateWriter,
} from '@weft/storage'
import type { PreparedEvent, StateChange } from './append-event.ts'
import type { PlacedChange, PlacedEvent, PlacedEvents } from './receive/placed-events.ts'
import type { RoomHead } from './room-head.ts'
import type { NewStateKey, StateKeys } from './state-keys.ts'

/** What one request wants committed: events of one room, all or none. */
export interface Submission {
  readonly head: RoomHead
  readonly events: readonly PreparedEvent[]
  /** Events of other servers, and what the room becomes by them. */
  readonly placed?: PlacedEvents
  /** By which request the one of `placed` came that is this server's own. */
  readonly txn?: EventTxn | undefined
  /** A room that comes into being with these events. */
  readonly newRoom?: RoomRow
  /** Further statements of the same transaction, an alias for example. */
  readonly extra?: readonly BoundSql[]
  /** Another room's part of the same change: committed in the same transaction, or neither is. */
  readonly with?: Submission
  /** Commits in a transaction of its own: a submission that failed with others before. */
  readonly alone?: boolean
}

/** A batch as statements and as announcement. */
export interface Assembled {
  readonly statements: BoundSql[]
  readonly rows: EventsRow[]
  readonly texts: Array<string | undefined>
  readonly deltaRows: CurrentStateDeltasRow[]
  readonly newKeys: NewStateKey[]
  /** Whether event_forward_extremities has rows of a room after this batch, where that changes. */
  readonly forks: ReadonlyMap<RoomHead, readonly number[]>
}

/** How many positions a submission takes. */
export function positionsOf({ events, placed }: Submission): number {
  if (placed === undefined) return events.length
  return placed.events.reduce((sum, event) => sum + (event.inTimeline ? 1 : 0), events.length + (changesOnTheirOwn(placed) ? 1 : 0))
}

/** True where the state changes with no event of the timeline: such changes have a position of their own. */
function changesOnTheirOwn(placed: PlacedEvents): boolean {
  return placed.changes.some(({ at }) => at < 0)
}

/** How many events a submission writes. */
export function eventsIn({ events, placed }: Submission): number {
  return events.length + (placed?.events.length ?? 0)
}

/** An event by which to tell whether the submission was committed: its id, and what `outlier` says of it afterwards. */
export function probeOf({ events, placed }: Submission): { eventId: string; outlier: boolean } | undefined {
  if (events[0] !== undefined) return { eventId: events[0].built.eventId, outlier: false }
  const row = placed?.events[0]?.row
  return row && { eventId: row.eventId, outlier: row.outlier }
}

/**
 * Makes the statements and the announcement of a batch.
 * @param ids the positions given to the batch
 */
export function assembleBatch(submissions: readonly Submission[], ids: readonly number[], stateKeys: StateKeys, now: number): Assembled {
  const batch = new Batch(ids, stateKeys)
  for (const submission of submissions) batch.add(submission)
  return batch.assemble(now)
}

class Batch {
  readonly #ids: readonly number[]
  readonly #stateKeys: StateKeys
  #next = 0
  readonly #events: EventRow[] = []
  readonly #outliers: EventRow[] = []
  readonly #rows: EventsRow[] = []
  readonly #texts: Array<string | undefined> = []
  readonly #txns: EventTxn[] = []
  readonly #newRooms: RoomRow[] = []
  readonly #newKeys = new Map<number, NewStateKey>()
  readonly #groups: StoredStateGroup[] = []
  readonly #deltas: StateDeltaRow[] = []
  readonly #deltaRows: CurrentStateDeltasRow[] = []
  readonly #relations: RelationRow[] = []
  readonly #redactions: Array<{ redactsNid: number; eventNid: number }> = []
  // One row per key in a statement: a later event of the batch takes the earlier one's place.
  readonly #current = new Map<number, Map<number, number | undefined>>()
  readonly #memberships = new Map<number, Map<string, Omit<MembershipRow, 'forgotten'>>>()
  readonly #forks = new Map<RoomHead, readonly number[]>()
  readonly #extra: BoundSql[] = []

  constructor(ids: readonly number[], stateKeys: StateKeys) {
    this.#ids = ids
    this.#stateKeys = stateKeys
  }

  add(submission: Submission): void {
    const { head, events, placed } = submission
    if (submission.newRoom !== undefined) this.#newRooms.push(submission.newRoom)
    if (submission.extra !== undefined) this.#extra.push(...submission.extra)
    if (events.length > 0 && (head.storedFork || this.#forks.has(head))) this.#forks.set(head, [])
    for (const event of events) this.#addEvent(head, event)
    if (submission.txn !== undefined) this.#txns.push(submission.txn)
    if (placed !== undefined) this.#addPlaced(head, placed, submission.txn)
  }

  assemble(now: number): Assembled {
    const statements: BoundSql[] = []
    if (this.#newRooms.length > 0) statements.push(roomsWriter.insert(this.#newRooms))
    if (this.#newKeys.size > 0) statements.push(stateWriter.insertKeys([...this.#newKeys.values()]))
    if (this.#events.length > 0) statements.push(...eventsWriter.insert(this.#events))
    if (this.#outliers.length > 0) statements.push(eventsWriter.placeOutliers(this.#outliers))
    if (this.#txns.length > 0) statements.push(...eventsWriter.insertTxns(this.#txns, now))
    if (this.#groups.length > 0) statements.push(stateWriter.insertGroups(this.#groups))
    if (this.#current.size > 0) statements.push(...this.#currentStatements())
    if (this.#memberships.size > 0) {
      statements.push(membershipsWriter.upsert([...this.#memberships.values()].flatMap((users) => [...users.values()])))
    }
    if (this.#deltas.length > 0) statements.push(stateWriter.insertDeltas(this.#deltas))
    const relations = this.#relations.length > 0 ? relationsWriter.insert(this.#relations) : undefined
    if (relations !== undefined) statements.push(relations)
    if (this.#redactions.length > 0) statements.push(eventsWriter.setRedactedBy(this.#redactions))
    if (this.#forks.size > 0) statements.push(...this.#forkStatements())
    statements.push(...this.#extra)
    const newKeys = [...this.#newKeys.values()]
    return { statements, rows: this.#rows, texts: this.#texts, deltaRows: this.#deltaRows, newKeys, forks: this.#forks }
  }

  #addEvent(head: RoomHead, event: PreparedEvent): void {
    const position = this.#ids[this.#next++] as number
    const { proposal, built, change, relation } = event
    if (relation !== undefined) this.#addRelation(head, position, { ...proposal, eventNid: event.eventNid }, relation)
    this.#events.push({
      eventNid: event.eventNid,
      roomNid: head.roomNid,
      streamOrdering: position,
      depth: event.depth,
      stateGroup: event.stateGroup,
      prevStateGroup: change && saidBefore(change.group),
      redactedBy: undefined,
      replacesState: change?.prevEventNid,
      originServerTs: proposal.originServerTs,
      outlier: false,
      softFailed: false,
      eventId: built.eventId,
      type: proposal.type,
      stateKey: proposal.stateKey,
      sender: proposal.sender,
      rejectionReason: undefined,
      json: built.clientJson,
      envelope: built.envelopeJson,
      authDepth: event.authDepth,
    })
    this.#texts.push(built.clientJson)
    this.#rows.push(announced(position, head, event))
    if (proposal.txn !== undefined) this.#txns.push({ ...proposal.txn, eventNid: event.eventNid })
    const redactsNid = proposal.redacts?.eventNid
    if (redactsNid !== undefined) this.#redactions.push({ redactsNid, eventNid: event.eventNid })
    if (event.baseGroup !== undefined) this.#addGroup(event.baseGroup)
    if (change === undefined) return
    this.#addKey(change)
    this.#addGroup(change.group)
    this.#addChange(head, position, { ...change, eventNid: event.eventNid, eventId: built.eventId })
  }

  #addPlaced(head: RoomHead, placed: PlacedEvents, txn: EventTxn | undefined): void {
    const before = changesOnTheirOwn(placed) ? (this.#ids[this.#next++] as number) : 0
    const positions: Array<number | undefined> = []
    const groups = new Map(placed.groups.map((group) => [group.stateGroup, group]))
    for (const event of placed.events) {
      const position = event.inTimeline ? (this.#ids[this.#next++] as number) : undefined
      positions.push(position)
      const { row } = event
      const target = event.wasOutlier ? this.#outliers : this.#events
      const group = groups.get(groupOfEvent(row.eventNid))
      target.push({ ...row, streamOrdering: position, prevStateGroup: group && saidBefore(group) })
      if (event.redacts !== undefined) this.#redactions.push({ redactsNid: event.redacts.eventNid, eventNid: row.eventNid })
      if (position === undefined) continue
      if (event.relation !== undefined && row.redactedBy === undefined) this.#addRelation(head, position, row, event.relation)
      this.#rows.push(announcedPlaced(position, head, event, txn?.eventNid === row.eventNid ? txn : undefined))
      this.#texts.push(event.redactedBefore ? undefined : row.json)
    }
    for (const key of placed.keys) this.#addKey({ stateKeyNid: key.nid, type: key.type, stateKey: key.stateKey })
    for (const group of placed.groups) this.#addGroup(group)
    for (const change of placed.changes) this.#addChange(head, change.at < 0 ? before : (positions[change.at] as number), change)
    if (placed.extremities !== undefined && (head.storedFork || placed.extremities.length > 0 || this.#forks.has(head))) {
      this.#forks.set(head, placed.extremities)
    }
    this.#extra.push(...placed.statements)
  }

  #addGroup(group: StateGroupRow): void {
    if (isStored(group)) this.#groups.push(group)
  }

  #addRelation(
    { roomNid }: RoomHead,
    streamOrdering: number,
    { eventNid, sender }: { readonly eventNid: number; readonly sender: string },
    { relType, eventId }: Relation,
  ): void {
    this.#relations.push({ eventNid, relatesToId: eventId, streamOrdering, roomNid, relationType: relType, sender })
  }

  #addKey({ stateKeyNid, type, stateKey }: Pick<StateChange, 'stateKeyNid' | 'type' | 'stateKey'>): void {
    if (this.#stateKeys.isUnwritten(type, stateKey)) this.#newKeys.set(stateKeyNid, { nid: stateKeyNid, type, stateKey })
  }

  #addChange(head: RoomHead, position: number, change: Omit<PlacedChange, 'at'>): void {
    const { roomNid } = head
    const { type, stateKey, eventNid, prevEventNid } = change
    nested(this.#current, roomNid).set(change.stateKeyNid, eventNid)
    this.#deltas.push({ streamId: position, roomNid, type, stateKey, eventNid, prevEventNid })
    this.#deltaRows.push({
      position,
      roomNid,
      roomId: head.roomId,
      type,
      stateKey,
      eventNid,
      eventId: change.eventId,
      prevEventNid,
      membership: change.membership,
    })
    const memberNid = eventNid ?? prevEventNid
    if (change.membership === undefined || memberNid === undefined) return
    nested(this.#memberships, roomNid).set(stateKey, {
      userId: stateKey,
      roomNid,
      membership: change.membership,
      eventNid: memberNid,
      eventStreamOrdering: position,
    })
  }

  #currentStatements(): BoundSql[] {
    const set: Array<{ roomNid: number; stateKeyNid: number; eventNid: number }> = []
    const gone: Array<{ roomNid: number; stateKeyNid: number }> = []
    for (const [roomNid, keys] of this.#current) {
      for (const [stateKeyNid, eventNid] of keys) {
        if (eventNid === undefined) gone.push({ roomNid, stateKeyNid })
        else set.push({ roomNid, stateKeyNid, eventNid })
      }
    }
    return [...(set.length > 0 ? [stateWriter.upsertCurrent(set)] : []), ...(gone.length > 0 ? [stateWriter.deleteCurrent(gone)] : [])]
  }

  #forkStatements(): BoundSql[] {
    const stored = [...this.#forks.keys()].filter((head) => head.storedFork).map((head) => head.roomNid)
    const listed = [...this.#forks].flatMap(([{ roomNid }, nids]) => nids.map((eventNid) => ({ roomNid, eventNid })))
    return [
      ...(stored.length > 0 ? [eventsWriter.clearExtremities(stored)] : []),
      ...(listed.length > 0 ? [eventsWriter.insertExtremities(listed)] : []),
    ]
  }
}

/** What the event of a group says of it, where it is that which says it. */
function saidBefore(group: StateGroupRow): number | undefined {
  return isStored(group) ? undefined : group.prevStateGroup
}

function announced(position: number, head: RoomHead, event: PreparedEvent): EventsRow {
  const { proposal, built, change, relation } = event
  const row: EventsRow = {
    position,
    eventNid: event.eventNid,
    eventId: built.eventId,
    roomNid: head.roomNid,
    roomId: head.roomId,
    type: proposal.type,
    sender: proposal.sender,
    depth: event.depth,
    originServerTs: proposal.originServerTs,
  }
  if (proposal.stateKey !== undefined) row.stateKey = proposal.stateKey
  if (change?.membership !== undefined) row.membership = change.membership
  if (change?.prevEventNid !== undefined) row.replacesNid = change.prevEventNid
  if (proposal.redacts !== undefined) {
    row.redacts = proposal.redacts.eventId
    if (proposal.redacts.eventNid !== undefined) row.redactsNid = proposal.redacts.eventNid
  }
  if (relation !== undefined) row.relation = relation
  if (proposal.txn !== undefined) {
    row.txnId = proposal.txn.txnId
    if (proposal.txn.deviceId !== undefined) row.txnDeviceId = proposal.txn.deviceId
  }
  return row
}

function announcedPlaced(position: number, head: RoomHead, event: PlacedEvent, txn: EventTxn | undefined): EventsRow {
  const { row, membership, relation, redacts } = event
  return {
    position,
    eventNid: row.eventNid,
    eventId: row.eventId,
    roomNid: head.roomNid,
    roomId: head.roomId,
    type: row.type,
    stateKey: row.stateKey,
    sender: row.sender,
    depth: row.depth,
    originServerTs: row.originServerTs,
    membership,
    replacesNid: row.replacesState,
    redacts: redacts?.eventId,
    redactsNid: redacts?.eventNid,
    relation,
    txnDeviceId: txn?.deviceId,
    txnId: txn?.txnId,
  }
}

function nested<K, V>(maps: Map<number, Map<K, V>>, key: number): Map<K, V> {
  let map = maps.get(key)
  if (map === undefined) {
    map = new Map()
    maps.set(key, map)
  }
  return map
}
