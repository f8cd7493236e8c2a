import { ignoredUsersOf, type JsonObject, MatrixError, own, quoteJson, type RoomVersion, withAge } from '@weft/matrix'
import {
  type AccountDataReader,
  type AggregatedEvent,
  aggregateRelations,
  type ClientEventRow,
  clientEvents,
  contentOf,
  type EventsReader,
  GLOBAL_ACCOUNT_DATA,
  type MembershipsReader,
  type RelationsReader,
  type RoomRow,
  type RoomsReader,
  RoomView,
  type StateReader,
} from '@weft/storage'
import { knownVersion } from './known-version.ts'
import { stateOfGroup } from './state-groups.ts'

/** What a user may read of a room. */
export interface RoomAccess {
  readonly room: RoomRow
  readonly version: RoomVersion
  readonly view: RoomView
  /** The last position the user may read, `undefined` where that is the present. */
  readonly until: number | undefined
  /** The device that asks, which is shown the transaction ids of what it sent. */
  readonly deviceId: string | undefined
}

/** Which members to list. */
export interface MembersQuery {
  /** The state at this position instead of the present. */
  readonly at?: number | undefined
  readonly membership?: string | undefined
  readonly notMembership?: string | undefined
}

/** Events of a state are shown so many at a time, so that a room of 20,000 members never holds the event loop. */
const BATCH = 250

/** Reads of one room, from PostgreSQL, by the one visibility rule. Spec: client-server API, "Getting events for a room". */
export class RoomReads {
  readonly #rooms: RoomsReader
  readonly #events: EventsReader
  readonly #state: StateReader
  readonly #memberships: MembershipsReader
  readonly #relations: RelationsReader
  readonly #accountData: AccountDataReader
  readonly #now: () => number

  /** @param readers.now in ms since 1970: what events' ages are counted to */
  constructor(readers: {
    rooms: RoomsReader
    events: EventsReader
    state: StateReader
    memberships: MembershipsReader
    relations: RelationsReader
    accountData: AccountDataReader
    now: () => number
  }) {
    this.#rooms = readers.rooms
    this.#events = readers.events
    this.#state = readers.state
    this.#memberships = readers.memberships
    this.#relations = readers.relations
    this.#accountData = readers.accountData
    this.#now = readers.now
  }

  /**
   * What the user may read: all for members; up to the departure for who has left and not forgotten the room; all of a
   * world-readable room for anybody.
   * @param deviceId the device that asks, where events are to be shown as to who sent them
   * @throws MatrixError M_FORBIDDEN, the same for a room that does not exist
   */
  async access(userId: string, roomId: string, deviceId?: string): Promise<RoomAccess> {
    const room = await this.#rooms.byRoomId(roomId)
    if (room === undefined) throw forbidden()
    const view = await RoomView.load(this.#state, room.roomNid, userId)
    const version = knownVersion(room)
    if (view.membership === 'join' || view.visibility === 'world_readable') return { room, version, view, until: undefined, deviceId }
    if (view.leftAt === undefined || (await this.#hasForgotten(view, room))) throw forbidden()
    return { room, version, view, until: view.leftAt, deviceId }
  }

  /** The rooms the user is joined to. */
  joinedRooms(userId: string): Promise<string[]> {
    return this.#memberships.joinedRoomIds(userId)
  }

  /** The state that the user may read, as client events. */
  async *state(access: RoomAccess): AsyncGenerator<string> {
    yield* this.#show(access, [...(await this.#stateNids(access, access.until)).values()])
  }

  /**
   * The state after an event, as client events.
   * @param options.members whose member events are wanted, where not all are
   */
  async *stateAfter(
    access: RoomAccess,
    row: ClientEventRow,
    options: { readonly members: ReadonlySet<string> | undefined; readonly wanted: (row: ClientEventRow) => boolean },
  ): AsyncGenerator<string> {
    if (row.stateGroup === undefined) return
    const state = stateOfGroup(await this.#state.groupChain(row.stateGroup))
    const { members } = options
    const keys = members === undefined ? [...state.keys()] : await this.#state.keysOfLazy([...state.keys()], members)
    const nids = keys.map((key) => state.get(key) as number)
    yield* this.#show(access, nids, options.wanted)
  }

  /** One state event. @throws MatrixError M_NOT_FOUND */
  async stateEvent(access: RoomAccess, type: string, stateKey: string): Promise<{ content: JsonObject; text: string }> {
    let nid: number | undefined
    if (access.until === undefined) {
      nid = await this.#state.currentEventNid(access.room.roomNid, type, stateKey)
    } else {
      nid = await this.#state.eventNidAt(access.room.roomNid, type, stateKey, access.until)
    }
    const row = nid === undefined ? undefined : (await this.#events.byNids([nid])).get(nid)
    if (row === undefined) throw new MatrixError('M_NOT_FOUND', 'There is no such state event')
    const [text] = await this.#texts(access, [row])
    return { content: contentOf(row, access.version, row.redactedBy !== undefined), text: text as string }
  }

  /** Member events, in batches. */
  async *members(access: RoomAccess, query: MembersQuery): AsyncGenerator<string> {
    const until = query.at === undefined ? access.until : Math.min(query.at, access.until ?? query.at)
    const nids = until === undefined ? await this.#currentMemberNids(access.room.roomNid) : await this.#memberNidsAt(access, until)
    const wanted = (row: ClientEventRow) => {
      if (query.membership === undefined && query.notMembership === undefined) return true
      const membership = own(contentOf(row, access.version, false), 'membership')
      // Spec: both filters given: events that match either.
      if (query.membership !== undefined && membership === query.membership) return true
      return query.notMembership !== undefined && membership !== query.notMembership
    }
    yield* this.#show(access, nids, wanted)
  }

  /** The joined members' ids with the profiles of their member events. */
  async *joinedMembers(access: RoomAccess): AsyncGenerator<string> {
    for (const batch of batches(await this.#currentMemberNids(access.room.roomNid, 'join'))) {
      for (const row of (await this.#events.byNids(batch)).values()) {
        const content = contentOf(row, access.version, row.redactedBy !== undefined)
        const displayName = own(content, 'displayname')
        const avatarUrl = own(content, 'avatar_url')
        const profile: JsonObject = {}
        if (typeof displayName === 'string') profile.display_name = displayName
        if (typeof avatarUrl === 'string') profile.avatar_url = avatarUrl
        yield `${quoteJson(row.stateKey ?? '')}:${JSON.stringify(profile)}`
      }
    }
  }

  /** One event, if the user may see it. @throws MatrixError M_NOT_FOUND, the same whether it is hidden or absent (R28) */
  async event(userId: string, roomId: string, eventId: string, deviceId?: string): Promise<string> {
    const { access, row } = await this.visibleEvent(userId, roomId, eventId, deviceId)
    return (await this.show(access, [row]))[0] as string
  }

  /** An event and what its reader may read beside it. @throws MatrixError M_NOT_FOUND, the same whether it is hidden or absent (R28) */
  async visibleEvent(
    userId: string,
    roomId: string,
    eventId: string,
    deviceId?: string,
  ): Promise<{ access: RoomAccess; row: ClientEventRow }> {
    const notFound = () => new MatrixError('M_NOT_FOUND', 'There is no such event, or you may not see it')
    const [room, row] = await Promise.all([this.#rooms.byRoomId(roomId), this.#events.byId(eventId)])
    if (room === undefined || row === undefined || row.roomNid !== room.roomNid || row.rejectionReason !== undefined) throw notFound()
    const view = await RoomView.load(this.#state, room.roomNid, userId)
    if (!view.sees(row) || (await this.#hasForgotten(view, room))) throw notFound()
    const until = view.membership === 'join' || view.visibility === 'world_readable' ? undefined : view.leftAt
    return { access: { room, version: knownVersion(room), view, until, deviceId }, row }
  }

  /** The room's aliases on this server, for members and for anybody where history is world-readable. */
  async aliases(userId: string, roomId: string): Promise<string[]> {
    const access = await this.access(userId, roomId)
    if (access.until !== undefined) throw forbidden()
    return (await this.#rooms.aliases(access.room.roomNid)).map(({ alias }) => alias)
  }

  /** Events of a timeline as client events of this room, with what relates to them. */
  async show(access: RoomAccess, rows: readonly ClientEventRow[]): Promise<string[]> {
    const { userId } = access.view
    const viewer = { userId, ignored: () => this.ignoredUsers(userId) }
    const readers = { relations: this.#relations, events: this.#events, rooms: this.#rooms }
    const events = rows.map((row) => aggregatedEvent(access, row))
    const [relations, txnIds] = await Promise.all([aggregateRelations(readers, events, viewer), this.#txnIds(access, rows)])
    const texts = await this.#texts(access, rows, relations, txnIds)
    const now = this.#now()
    return texts.map((text, i) => withAge(text, now - (rows[i] as ClientEventRow).originServerTs))
  }

  /** Spec: client-server API, "Room event format": `unsigned.transaction_id` is for the device that sent the event. */
  async #txnIds({ view, deviceId }: RoomAccess, rows: readonly ClientEventRow[]): Promise<Map<number, string> | undefined> {
    if (deviceId === undefined) return undefined
    return this.#events.txnIdsOf(
      rows.filter((row) => row.sender === view.userId).map((row) => row.eventNid),
      deviceId,
    )
  }

  /** The member events of these users, of the state that the user may read. Spec: client-server API, "Lazy-loading room members". */
  async membersOf(access: RoomAccess, userIds: readonly string[]): Promise<string[]> {
    const keys = userIds.map((userId) => ['m.room.member', userId] as const)
    if (keys.length === 0) return []
    let nids: number[]
    if (access.until === undefined) nids = (await this.#state.currentAt(access.room.roomNid, keys)).map((entry) => entry.eventNid)
    else {
      const then = await this.#stateNids(access, access.until)
      nids = (await this.#state.nidsByKeys(keys)).flatMap(({ nid }) => then.get(nid) ?? [])
    }
    return this.#texts(access, [...(await this.#events.byNids(nids)).values()])
  }

  /** Whom a user ignores. Spec: client-server API, "Ignoring Users". */
  async ignoredUsers(userId: string): Promise<ReadonlySet<string>> {
    return ignoredUsersOf(await this.#accountData.get(userId, GLOBAL_ACCOUNT_DATA, 'm.ignored_user_list'))
  }

  /** Spec: POST /rooms/{roomId}/forget: its history is not to be had any more. What anybody may read stays. */
  async #hasForgotten(view: RoomView, room: RoomRow): Promise<boolean> {
    if (view.leftAt === undefined || view.visibility === 'world_readable') return false
    return (await this.#memberships.membership(room.roomNid, view.userId))?.forgotten === true
  }

  async *#show(access: RoomAccess, nids: readonly number[], wanted: (row: ClientEventRow) => boolean = () => true): AsyncGenerator<string> {
    for (const batch of batches(nids)) {
      const rows = [...(await this.#events.byNids(batch)).values()].filter(wanted)
      yield* await this.#texts(access, rows)
    }
  }

  #texts(
    access: RoomAccess,
    rows: readonly ClientEventRow[],
    relations?: ReadonlyMap<string, string>,
    txnIds?: ReadonlyMap<number, string>,
  ): Promise<string[]> {
    return clientEvents(this.#events, rows, access.version, (row) => ({
      roomId: access.room.roomId,
      relations: relations?.get(row.eventId),
      transactionId: txnIds?.get(row.eventNid),
      membership: row.streamOrdering === undefined ? undefined : (access.view.membershipAt(row.streamOrdering) ?? 'leave'),
    }))
  }

  /** state_key_nid to event_nid, now or at a position. */
  async #stateNids(access: RoomAccess, until: number | undefined): Promise<Map<number, number>> {
    if (until === undefined) return this.#state.currentNids(access.room.roomNid)
    const [newest] = await this.#events.page(access.room.roomNid, { direction: 'b', from: until, until: Number.MIN_SAFE_INTEGER, limit: 1 })
    if (newest?.stateGroup === undefined) return new Map()
    return stateOfGroup(await this.#state.groupChain(newest.stateGroup))
  }

  async #memberNidsAt(access: RoomAccess, until: number): Promise<number[]> {
    const state = await this.#stateNids(access, until)
    const keys = await this.#state.keysByNids([...state.keys()])
    return [...state].filter(([key]) => keys.get(key)?.type === 'm.room.member').map(([, nid]) => nid)
  }

  async #currentMemberNids(roomNid: number, membership?: string): Promise<number[]> {
    return this.#memberships.eventNids(roomNid, membership)
  }
}

/** JSON text of an array or object whose parts come one by one, as the chunks of a stream. */
export async function* jsonChunks(before: string, parts: AsyncIterable<string>, after: string): AsyncGenerator<string> {
  let chunk = before
  let first = true
  for await (const part of parts) {
    chunk += first ? part : `,${part}`
    first = false
    if (chunk.length > 32_768) {
      yield chunk
      chunk = ''
    }
  }
  yield chunk + after
}

function aggregatedEvent(access: RoomAccess, row: ClientEventRow): AggregatedEvent {
  const { eventId, roomNid, sender, type, stateKey } = row
  const { version, view, room } = access
  const redacted = row.redactedBy !== undefined
  return {
    eventId,
    roomNid,
    sender,
    type,
    stateKey,
    until: access.until ?? Number.MAX_SAFE_INTEGER,
    version,
    roomId: room.roomId,
    redacted,
    content: () => contentOf(row, version, redacted),
    sees: (event) => view.sees(event),
  }
}

function* batches(nids: readonly number[]): Generator<number[]> {
  for (let i = 0; i < nids.length; i += BATCH) yield nids.slice(i, i + BATCH)
}

function forbidden(): MatrixError {
  return new MatrixError('M_FORBIDDEN', 'You are not in this room, and it is not open to all')
}
