import {
  type AuthEventView,
  type BuiltEvent,
  buildEvent,
  decodeBase64,
  type EventParts,
  type JsonObject,
  type LocalSigner,
  makeSigner,
  type Pdu,
  type RoomVersion,
  requireRoomVersion,
  type StateEventView,
  StateMap,
} from '../src/index.ts'

/** The key of the spec's vectors: appendices, "Cryptographic Test Vectors". */
export const SPEC_SEED = decodeBase64('YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1') as Uint8Array
export const specSigner: LocalSigner = makeSigner('domain', 'ed25519:1', SPEC_SEED)

export const v = requireRoomVersion
export const ROOM = '!room:domain'
export const ALICE = '@alice:domain'
export const BOB = '@bob:domain'
export const CAROL = '@carol:other'

/** A room's state written by hand, for the rules that look at nothing else. */
export class RoomState extends StateMap {
  readonly version: RoomVersion
  readonly roomId: string | undefined
  readonly createId: string
  #count = 0

  constructor(version: RoomVersion, createContent: JsonObject = {}, creator = ALICE) {
    super()
    this.version = version
    this.createId = `$${'c'.repeat(43)}`
    this.roomId = version.roomIdIsCreateHash ? `!${'c'.repeat(43)}` : ROOM
    const content = version.implicitCreator ? createContent : { creator, ...createContent }
    this.add('m.room.create', '', content, creator, this.createId)
  }

  add(type: string, stateKey: string, content: JsonObject, sender = ALICE, eventId = `$${type}-${this.#count++}`): this {
    const roomId = this.version.roomIdIsCreateHash && type === 'm.room.create' ? undefined : this.roomId
    return this.set(type, stateKey, { eventId, type, stateKey, sender, content, roomId })
  }

  member(userId: string, membership: string, content: JsonObject = {}): this {
    return this.add('m.room.member', userId, { ...content, membership }, userId)
  }

  joinRule(joinRule: string, content: JsonObject = {}): this {
    return this.add('m.room.join_rules', '', { ...content, join_rule: joinRule })
  }

  levels(content: JsonObject): this {
    return this.add('m.room.power_levels', '', content)
  }

  /** The view of a new event in this room. */
  event(parts: Partial<AuthEventView> & { type: string }): AuthEventView {
    return { eventId: '$new:domain', sender: ALICE, roomId: this.roomId, content: {}, prevEvents: ['$prev'], ...parts }
  }

  memberEvent(sender: string, target: string, membership: string, content: JsonObject = {}, prevEvents = ['$prev']): AuthEventView {
    return this.event({ type: 'm.room.member', sender, stateKey: target, content: { ...content, membership }, prevEvents })
  }

  view(type: string, stateKey = ''): StateEventView {
    return this.get(type, stateKey) as StateEventView
  }
}

/** A small message event. */
export function messageParts(version: RoomVersion, changes: Partial<EventParts> = {}): EventParts {
  return {
    version,
    roomId: version.roomIdIsCreateHash ? `!${'r'.repeat(43)}` : ROOM,
    type: 'm.room.message',
    sender: ALICE,
    content: { msgtype: 'm.text', body: 'Hello' },
    originServerTs: 1_732_735_824_653,
    authEvents: version.eventFormat === 1 ? [['$auth:domain', { sha256: 'x' }]] : [`$${'a'.repeat(43)}`],
    prevEvents: version.eventFormat === 1 ? [['$prev:domain', { sha256: 'x' }]] : [`$${'p'.repeat(43)}`],
    depth: 12,
    ...(version.eventFormat === 1 ? { eventId: '$event:domain' } : {}),
    ...changes,
  }
}

export function build(version: RoomVersion, changes: Partial<EventParts> = {}): BuiltEvent {
  return buildEvent(messageParts(version, changes), specSigner)
}

export function pdu(keys: JsonObject): Pdu {
  return keys as unknown as Pdu
}
