import {
  authEventIds,
  authEventView,
  authStateKeys,
  buildEvent,
  checkAuthEventsOfPdu,
  checkEventAuth,
  type EventReference,
  eventIdOf,
  type JsonObject,
  type JsonValue,
  type Pdu,
  prevEventIds,
  type ResolutionEvent,
  type RoomVersion,
  referenceHash,
  requireRoomVersion,
  type StateEventView,
  StateMap,
  StateResolution,
  serverNameOf,
  stateEventView,
} from '@weft/matrix'
import type { SignedPeer } from './signed-peer.ts'

/** A state as event ids. */
export type PeerState = StateMap<string>

/** An event that a peer wants to make. */
export interface PeerDraft {
  readonly type: string
  readonly sender: string
  readonly content?: JsonObject
  readonly stateKey?: string
  /** The prev events; the room's tips otherwise. */
  readonly prev?: readonly string[]
  /** Auth events other than those the state before chooses. */
  readonly auth?: readonly string[]
  readonly ts?: number
  readonly depth?: number
  /** The redacted event, wherever the room version has it. */
  readonly redacts?: string
  /** Who signs, instead of the sender's server. */
  readonly signedBy?: SignedPeer
  /** Changes the finished event, hashes and signatures included. */
  readonly spoil?: (pdu: Pdu) => Pdu
}

/** An event in the room's graph, with what a server that has all of it makes of it. */
export interface PeerEvent {
  readonly eventId: string
  readonly pdu: Pdu
  readonly authIds: readonly string[]
  readonly prevIds: readonly string[]
  readonly authDepth: number
  readonly rejected: boolean
  readonly before: PeerState
  readonly after: PeerState
}

/**
 * A room as the remote servers in it know it: a graph of signed events, judged and resolved by the rules alone. What a server says of
 * the room after receiving its events is compared with this.
 */
export class PeerRoom {
  readonly version: RoomVersion
  readonly roomId: string
  readonly events = new Map<string, PeerEvent>()
  readonly #peers: ReadonlyMap<string, SignedPeer>
  #tips: string[] = []
  #ts = 1_700_000_000_000
  #count = 0

  /** @param peers the servers of all who will send */
  constructor(options: { readonly version: string; readonly roomId: string; readonly peers: readonly SignedPeer[] }) {
    this.version = requireRoomVersion(options.version)
    this.roomId = options.roomId
    this.#peers = new Map(options.peers.map((peer) => [peer.serverName, peer]))
  }

  /** A room with its create event, its creator, power levels and join rule. */
  static create(
    creator: string,
    options: {
      readonly version: string
      readonly peers: readonly SignedPeer[]
      readonly levels?: JsonObject
      readonly joinRule?: string
      readonly name?: string
    },
  ): PeerRoom {
    const version = requireRoomVersion(options.version)
    // From room version 12 on the same create event is the same room.
    const content: JsonObject = { room_version: version.id, 'test.name': options.name ?? 'room' }
    if (!version.implicitCreator) content.creator = creator
    const draftRoom = new PeerRoom({ ...options, roomId: `!${options.name ?? 'room'}:${serverNameOf(creator)}` })
    const draft: PeerDraft = { type: 'm.room.create', sender: creator, stateKey: '', content, prev: [] }
    const pdu = draftRoom.build(draft, new StateMap())
    const roomId = version.roomIdIsCreateHash ? `!${eventIdOf(pdu, version).slice(1)}` : draftRoom.roomId
    const room = new PeerRoom({ ...options, roomId })
    room.observe(pdu)
    room.join(creator)
    const users: JsonObject = version.privilegedCreators ? {} : { [creator]: 100 }
    room.add({ type: 'm.room.power_levels', sender: creator, stateKey: '', content: { users, ...options.levels } })
    room.add({ type: 'm.room.join_rules', sender: creator, stateKey: '', content: { join_rule: options.joinRule ?? 'public' } })
    return room
  }

  /** The events that no other names as a prev event. */
  get tips(): readonly string[] {
    return this.#tips
  }

  get(eventId: string): PeerEvent {
    const event = this.events.get(eventId)
    if (event === undefined) throw new Error(`the peers have no event ${eventId}`)
    return event
  }

  /** The events' JSON, in the order given; all of them, oldest first, otherwise. */
  pdus(eventIds: Iterable<string> = this.events.keys()): JsonValue[] {
    return [...eventIds].map((id) => this.get(id).pdu as unknown as JsonValue)
  }

  /** The sender of the create event. */
  get creator(): string {
    const [create] = this.events.values()
    return create?.pdu.sender ?? ''
  }

  /** Whether an event that nobody has yet is allowed: by its auth events, and by the state before it. */
  allows(pdu: Pdu): boolean {
    return this.#isAllowed(pdu, eventIdOf(pdu, this.version), authEventIds(pdu), this.stateAfter(prevEventIds(pdu)))
  }

  /** Makes an event and adds it to the graph. */
  add(draft: PeerDraft): PeerEvent {
    return this.observe(this.build(draft, this.stateAfter(draft.prev ?? this.#tips)))
  }

  join(userId: string, prev?: readonly string[]): PeerEvent {
    return this.add({ type: 'm.room.member', sender: userId, stateKey: userId, content: { membership: 'join' }, ...(prev && { prev }) })
  }

  message(sender: string, body: string, draft: Partial<PeerDraft> = {}): PeerEvent {
    return this.add({ type: 'm.room.message', sender, content: { msgtype: 'm.text', body }, ...draft })
  }

  /** Makes an event without adding it. @param state the state before it, from which its auth events are taken */
  build(draft: PeerDraft, state: PeerState): Pdu {
    const { version } = this
    const { type, sender, stateKey, prev = this.#tips } = draft
    const content: JsonObject = { ...draft.content }
    if (draft.redacts !== undefined && version.contentRedacts) content.redacts = draft.redacts
    const auth = draft.auth ?? authStateKeys(version, { type, stateKey, sender, content }).flatMap(([t, key]) => state.get(t, key) ?? [])
    const server = serverNameOf(sender) ?? ''
    const signer = draft.signedBy ?? this.#peers.get(server)
    if (signer === undefined) throw new Error(`no peer signs for ${sender}`)
    const impliesRoom = version.roomIdIsCreateHash && type === 'm.room.create'
    const { pdu } = buildEvent(
      {
        version,
        type,
        stateKey,
        sender,
        content,
        ...(impliesRoom ? {} : { roomId: this.roomId }),
        originServerTs: draft.ts ?? ++this.#ts,
        authEvents: auth.map((id) => this.#reference(id)),
        prevEvents: prev.map((id) => this.#reference(id)),
        depth: draft.depth ?? 1 + Math.max(0, ...prev.map((id) => this.events.get(id)?.pdu.depth ?? 0)),
        redacts: version.contentRedacts ? undefined : draft.redacts,
        eventId:
          version.eventFormat === 1 ? `$${this.events.size}_${this.#count++}_${this.roomId.slice(1).split(':')[0]}:${server}` : undefined,
      },
      signer.signer,
    )
    return draft.spoil?.(pdu) ?? pdu
  }

  /** Adds an event that somebody made, whose prev and auth events are here. */
  observe(pdu: Pdu): PeerEvent {
    const { version } = this
    const eventId = eventIdOf(pdu, version)
    const known = this.events.get(eventId)
    if (known !== undefined) return known
    const prevIds = prevEventIds(pdu)
    const authIds = authEventIds(pdu)
    const before = this.stateAfter(prevIds)
    const rejected = !this.#isAllowed(pdu, eventId, authIds, before)
    const changes = pdu.state_key !== undefined && !rejected
    const after = changes ? before.clone().set(pdu.type, pdu.state_key as string, eventId) : before
    const authDepth = 1 + Math.max(-1, ...authIds.map((id) => this.events.get(id)?.authDepth ?? 0))
    const event: PeerEvent = { eventId, pdu, authIds, prevIds, authDepth, rejected, before, after }
    this.events.set(eventId, event)
    this.#tips = [...this.#tips.filter((id) => !prevIds.includes(id)), eventId]
    return event
  }

  /** The state after these events together. */
  stateAfter(eventIds: readonly string[]): PeerState {
    return this.resolve(eventIds.map((id) => this.get(id).after))
  }

  resolve(states: readonly PeerState[]): PeerState {
    if (states.length === 0) return new StateMap()
    const distinct = [...new Set(states)]
    if (distinct.length === 1) return distinct[0] as PeerState
    const resolution = new StateResolution(this.version, distinct)
    for (;;) {
      const step = resolution.next()
      if (step.kind === 'resolved') return step.state
      if (step.kind === 'exceeded') throw new Error(step.reason)
      const events = [...step.nodes, ...step.events].map((id) => this.#resolutionEvent(id))
      resolution.add({ events })
    }
  }

  #resolutionEvent(eventId: string): ResolutionEvent {
    const { pdu, authIds, prevIds, authDepth, rejected } = this.get(eventId)
    const view = stateEventView(pdu, eventId, rejected) as StateEventView
    return { ...view, authEvents: authIds, prevEvents: prevIds, authDepth, depth: pdu.depth, originServerTs: pdu.origin_server_ts }
  }

  #isAllowed(pdu: Pdu, eventId: string, authIds: readonly string[], before: PeerState): boolean {
    const { version } = this
    const view = authEventView(pdu, eventId)
    const authEvents = authIds.map((id) => this.get(id)).map((e) => stateEventView(e.pdu, e.eventId, e.rejected) as StateEventView)
    if (!checkAuthEventsOfPdu(version, view, authEvents).ok) return false
    const byAuth = new StateMap<StateEventView>()
    for (const event of authEvents) byAuth.set(event.type, event.stateKey, event)
    const state = new StateMap<StateEventView>()
    for (const [type, key, id] of before.entries()) state.set(type, key, stateEventView(this.get(id).pdu, id) as StateEventView)
    const create = state.get('m.room.create', '')
    if (version.createNotInAuthEvents && create !== undefined) byAuth.set('m.room.create', '', create)
    return checkEventAuth(version, view, byAuth).ok && checkEventAuth(version, view, state).ok
  }

  #reference(eventId: string): EventReference {
    if (this.version.eventFormat !== 1) return eventId
    const event = this.events.get(eventId)
    return [eventId, { sha256: event === undefined ? 'unknown' : referenceHash(event.pdu, this.version) }]
  }
}
