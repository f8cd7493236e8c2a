import { type JsonObject, quoteJson, relationOf } from '@weft/matrix'
import {
  type Committed,
  type CurrentStateDeltasRow,
  currentStateDeltasStream,
  type EventsRow,
  eventsStream,
  type Reservation,
} from '@weft/replication'
import {
  type BoundSql,
  type Database,
  type EventRow,
  eventsWriter,
  type MembershipRow,
  membershipsWriter,
  type RelationRow,
  relationsWriter,
  roomsWriter,
  type StateDeltaRow,
  stateWriter,
} from '@weft/storage'

/** What the builder needs of a StreamWriter. */
export interface EventPositions {
  reserve(stream: typeof eventsStream, count: number): Reservation
}

/** An event to be written as a test says it, without asking whether it is allowed. */
export interface EventDraft {
  readonly type: string
  readonly sender: string
  readonly content: JsonObject
  readonly stateKey?: string
  readonly originServerTs?: number
  /** The sending device and its transaction id. */
  readonly transaction?: { readonly deviceId: string; readonly txnId: string }
  /** The event id that a redaction takes effect on. */
  readonly redacts?: string
  /** Stored with this reason, in no timeline and no state. */
  readonly rejected?: string
  /** Stored soft-failed: in no timeline; in the state only with `becomesState`. */
  readonly softFailed?: boolean
  readonly becomesState?: boolean
}

/** An event that was written, with where it stands. */
export interface WrittenEvent {
  readonly eventId: string
  readonly eventNid: number
  /** 0 for what is in no timeline. */
  readonly position: number
}

/**
 * Writes rooms row by row, as the writer would have left them: for tests of readers that want any history, allowed or not. Ids are
 * counted from 1, so one database takes one builder and no writer of its own.
 */
export class RoomBuilder {
  readonly db: Database
  readonly streams: EventPositions
  readonly serverName: string
  readonly #stateKeys = new Map<string, Map<string, number>>()
  #rooms = 0
  #events = 0
  #keys = 0

  constructor(options: { readonly db: Database; readonly streams: EventPositions; readonly serverName?: string }) {
    this.db = options.db
    this.streams = options.streams
    this.serverName = options.serverName ?? 'test'
  }

  /** A room with its create event, its creator and what `state` adds. */
  async room(creator: string, options: { readonly version?: string; readonly state?: readonly EventDraft[] } = {}): Promise<BuiltRoom> {
    const roomNid = ++this.#rooms
    const version = options.version ?? '11'
    const room = new BuiltRoom(this, roomNid, `!room${roomNid}:${this.serverName}`)
    const row = { roomNid, roomId: room.roomId, roomVersion: version, creator }
    await room.write(
      [
        { type: 'm.room.create', sender: creator, stateKey: '', content: { room_version: version } },
        { type: 'm.room.member', sender: creator, stateKey: creator, content: { membership: 'join' } },
        ...(options.state ?? []),
      ],
      [roomsWriter.insert([row])],
    )
    return room
  }

  nextEventNid(): number {
    return ++this.#events
  }

  /** The nid of a state key, with the statement that makes it where it is new. */
  stateKey(type: string, stateKey: string): { readonly nid: number; readonly insert: BoundSql | undefined } {
    let keys = this.#stateKeys.get(type)
    if (keys === undefined) {
      keys = new Map()
      this.#stateKeys.set(type, keys)
    }
    const known = keys.get(stateKey)
    if (known !== undefined) return { nid: known, insert: undefined }
    const nid = ++this.#keys
    keys.set(stateKey, nid)
    return { nid, insert: stateWriter.insertKeys([{ nid, type, stateKey }]) }
  }
}

/** A room under construction. */
export class BuiltRoom {
  readonly builder: RoomBuilder
  readonly roomNid: number
  readonly roomId: string
  readonly #state = new Map<string, Map<string, WrittenEvent>>()
  readonly #nids = new Map<string, number>()
  #depth = 0

  constructor(builder: RoomBuilder, roomNid: number, roomId: string) {
    this.builder = builder
    this.roomNid = roomNid
    this.roomId = roomId
  }

  async message(sender: string, body: string, extra: Partial<EventDraft> = {}): Promise<WrittenEvent> {
    return await this.event({ type: 'm.room.message', sender, content: { msgtype: 'm.text', body }, ...extra })
  }

  async state(sender: string, type: string, content: JsonObject, stateKey = ''): Promise<WrittenEvent> {
    return await this.event({ type, sender, stateKey, content })
  }

  async member(userId: string, membership: string, options: { readonly sender?: string; readonly content?: JsonObject } = {}) {
    const content = { membership, ...options.content }
    return await this.event({ type: 'm.room.member', sender: options.sender ?? userId, stateKey: userId, content })
  }

  async join(...userIds: readonly string[]): Promise<void> {
    await this.write(
      userIds.map((userId) => ({ type: 'm.room.member', sender: userId, stateKey: userId, content: { membership: 'join' } })),
    )
  }

  async redact(sender: string, eventId: string): Promise<WrittenEvent> {
    return await this.event({ type: 'm.room.redaction', sender, content: { redacts: eventId }, redacts: eventId })
  }

  async event(draft: EventDraft): Promise<WrittenEvent> {
    return (await this.write([draft]))[0] as WrittenEvent
  }

  /** Takes a key out of the current state, as state resolution may, at a position without an event. */
  async dropState(type: string, stateKey: string): Promise<void> {
    const before = this.#state.get(type)?.get(stateKey)
    const { nid } = this.builder.stateKey(type, stateKey)
    const reservation = this.builder.streams.reserve(eventsStream, 1)
    const position = reservation.ids[0] as number
    const delta = { streamId: position, roomNid: this.roomNid, type, stateKey, eventNid: undefined, prevEventNid: before?.eventNid }
    const statements = [stateWriter.deleteCurrent([{ roomNid: this.roomNid, stateKeyNid: nid }]), stateWriter.insertDeltas([delta])]
    await this.builder.db.commitPipeline([...statements, ...reservation.positionStatements()])
    this.#state.get(type)?.delete(stateKey)
    const row = { position, roomNid: this.roomNid, roomId: this.roomId, type, stateKey, prevEventNid: before?.eventNid }
    reservation.complete([{ stream: currentStateDeltasStream, rows: [row] }])
  }

  /** Writes events in one transaction, in their order, and announces them. */
  async write(drafts: readonly EventDraft[], before: readonly BoundSql[] = []): Promise<WrittenEvent[]> {
    const { builder, roomNid, roomId } = this
    const shown = drafts.filter((draft) => inTimeline(draft))
    const hidden = drafts.length > shown.length && drafts.some((draft) => !inTimeline(draft) && draft.becomesState)
    const reservation = builder.streams.reserve(eventsStream, Math.max(shown.length + (hidden ? 1 : 0), 1))
    let at = 0
    const statements: BoundSql[] = [...before]
    const events: EventRow[] = []
    const rows: EventsRow[] = []
    const deltas: CurrentStateDeltasRow[] = []
    const memberships = new Map<string, Omit<MembershipRow, 'forgotten'>>()
    const current = new Map<number, { roomNid: number; stateKeyNid: number; eventNid: number }>()
    const redactions: Array<{ redactsNid: number; eventNid: number }> = []
    const written: WrittenEvent[] = []
    for (const draft of drafts) {
      const eventNid = builder.nextEventNid()
      const eventId = `$event${eventNid}`
      const timeline = inTimeline(draft)
      const position = timeline || draft.becomesState ? (reservation.ids[at++] as number) : 0
      const replaced = draft.stateKey === undefined ? undefined : this.#state.get(draft.type)?.get(draft.stateKey)
      const row = this.#row(draft, eventNid, eventId, timeline ? position : undefined, replaced?.eventNid)
      events.push(row)
      this.#nids.set(eventId, eventNid)
      const one = { eventId, eventNid, position: timeline ? position : 0 }
      written.push(one)
      const redactsNid = draft.redacts === undefined ? undefined : this.#nids.get(draft.redacts)
      if (redactsNid !== undefined) redactions.push({ redactsNid, eventNid })
      if (draft.transaction !== undefined) {
        const key = Buffer.from(`txn${eventNid}`)
        statements.push(...eventsWriter.insertTxns([{ key, eventNid, ...draft.transaction }], row.originServerTs))
      }
      const membership = draft.type === 'm.room.member' ? (draft.content.membership as string) : undefined
      if (timeline) rows.push({ ...announced(row, roomId, position), ...facts(draft, membership, redactsNid) })
      if (draft.stateKey === undefined || (!timeline && !draft.becomesState)) continue
      const key = builder.stateKey(draft.type, draft.stateKey)
      if (key.insert !== undefined) statements.push(key.insert)
      current.set(key.nid, { roomNid, stateKeyNid: key.nid, eventNid })
      const keyed = { position, roomNid, roomId, type: draft.type, stateKey: draft.stateKey }
      deltas.push({ ...keyed, eventNid, eventId, prevEventNid: replaced?.eventNid, membership })
      this.#remember(draft.type, draft.stateKey, one)
      if (membership !== undefined)
        memberships.set(draft.stateKey, { userId: draft.stateKey, roomNid, membership, eventNid, eventStreamOrdering: position })
    }
    statements.push(...eventsWriter.insert(events))
    const relations = relationsWriter.insert(written.flatMap((one, i) => relationRow(drafts[i] as EventDraft, one, roomNid)))
    if (relations !== undefined) statements.push(relations)
    if (current.size > 0) statements.push(stateWriter.upsertCurrent([...current.values()]))
    if (deltas.length > 0) statements.push(stateWriter.insertDeltas(deltas.map(toDelta)))
    if (memberships.size > 0) statements.push(membershipsWriter.upsert([...memberships.values()]))
    if (redactions.length > 0) statements.push(eventsWriter.setRedactedBy(redactions))
    await builder.db.commitPipeline([...statements, ...reservation.positionStatements()])
    const texts = events.filter((row) => row.streamOrdering !== undefined).map((row) => row.json)
    const committed: Committed[] = [
      { stream: currentStateDeltasStream, rows: deltas },
      { stream: eventsStream, rows, texts },
    ]
    reservation.complete(committed.filter((part) => part.rows.length > 0))
    return written
  }

  #row(draft: EventDraft, eventNid: number, eventId: string, position: number | undefined, replacesState: number | undefined): EventRow {
    const originServerTs = draft.originServerTs ?? 1_700_000_000_000 + eventNid
    return {
      eventNid,
      roomNid: this.roomNid,
      streamOrdering: position,
      depth: ++this.#depth,
      stateGroup: undefined,
      prevStateGroup: undefined,
      redactedBy: undefined,
      replacesState,
      originServerTs,
      outlier: false,
      softFailed: draft.softFailed ?? false,
      eventId,
      type: draft.type,
      stateKey: draft.stateKey,
      sender: draft.sender,
      rejectionReason: draft.rejected,
      json: clientJson(draft, originServerTs),
      envelope: `{"auth_events":[],"depth":${this.#depth},"hashes":{"sha256":"x"},"prev_events":[],"signatures":{}}`,
      authDepth: undefined,
    }
  }

  #remember(type: string, stateKey: string, event: WrittenEvent): void {
    const keys = this.#state.get(type)
    if (keys === undefined) this.#state.set(type, new Map([[stateKey, event]]))
    else keys.set(stateKey, event)
  }
}

function inTimeline(draft: EventDraft): boolean {
  return draft.rejected === undefined && draft.softFailed !== true
}

function clientJson(draft: EventDraft, originServerTs: number): string {
  const stateKey = draft.stateKey === undefined ? '' : `,"state_key":${quoteJson(draft.stateKey)}`
  const head = `{"content":${JSON.stringify(draft.content)},"origin_server_ts":${originServerTs}`
  return `${head},"sender":${quoteJson(draft.sender)}${stateKey},"type":${quoteJson(draft.type)}}`
}

function announced(row: EventRow, roomId: string, position: number): EventsRow {
  return {
    position,
    eventNid: row.eventNid,
    eventId: row.eventId,
    roomNid: row.roomNid,
    roomId,
    type: row.type,
    stateKey: row.stateKey,
    sender: row.sender,
    depth: row.depth,
    originServerTs: row.originServerTs,
    replacesNid: row.replacesState,
  }
}

function facts(draft: EventDraft, membership: string | undefined, redactsNid: number | undefined): Partial<EventsRow> {
  return {
    membership,
    redacts: draft.redacts,
    redactsNid,
    txnDeviceId: draft.transaction?.deviceId,
    txnId: draft.transaction?.txnId,
  }
}

function relationRow(draft: EventDraft, { eventNid, position }: WrittenEvent, roomNid: number): RelationRow[] {
  const relation = relationOf(draft.content)
  if (relation === undefined || position === 0) return []
  return [
    { relatesToId: relation.eventId, relationType: relation.relType, streamOrdering: position, eventNid, roomNid, sender: draft.sender },
  ]
}

function toDelta(row: CurrentStateDeltasRow): StateDeltaRow {
  const { position, roomNid, type, stateKey, eventNid, prevEventNid } = row
  return { streamId: position, roomNid, type, stateKey, eventNid, prevEventNid }
}
