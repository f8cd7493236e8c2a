import { isDeepStrictEqual } from 'node:util'
import { aclLocksOut, checkAliasContent, type JsonObject, MatrixError, own, ownArray } from '@weft/matrix'
import type { EventsReader, RoomsReader } from '@weft/storage'
import type { Proposal } from './append-event.ts'
import type { RoomsEnvironment } from './environment.ts'
import type { Decision, EventWriter } from './event-writer.ts'
import type { Memberships } from './memberships.ts'
import type { RelationRules } from './relation-rules.ts'
import type { RoomHead } from './room-head.ts'
import { requireRoomForState } from './room-limits.ts'
import { txnKey } from './txn-ids.ts'

/** Who sends, from which device, in which request. */
export interface Sender {
  readonly userId: string
  readonly deviceId: string | undefined
}

/** A request that a client may repeat under the same transaction id. */
export interface TxnRequest {
  readonly txnId: string
  /** The request's path as it came, which the transaction id is scoped to. */
  readonly path: string
}

/** Aliases that a canonical alias event may name. */
const MAX_ALT_ALIASES = 50

/** Sends messages, state and redactions. Spec: client-server API, "Sending events to a room", "Redactions". */
export class Messages {
  readonly #writer: EventWriter
  readonly #events: EventsReader
  readonly #rooms: RoomsReader
  readonly #relations: RelationRules
  readonly #memberships: Memberships
  readonly #env: RoomsEnvironment

  constructor(options: {
    writer: EventWriter
    events: EventsReader
    rooms: RoomsReader
    relations: RelationRules
    memberships: Memberships
    environment: RoomsEnvironment
  }) {
    this.#writer = options.writer
    this.#events = options.events
    this.#rooms = options.rooms
    this.#relations = options.relations
    this.#memberships = options.memberships
    this.#env = options.environment
  }

  /**
   * Sends a message event, once per transaction id.
   * @returns the event's id
   * @throws MatrixError M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE, M_BAD_JSON, M_DUPLICATE_ANNOTATION, M_UNKNOWN (400)
   */
  async send(request: { roomId: string; type: string; content: JsonObject; sender: Sender; txn: TxnRequest }): Promise<string> {
    const { roomId, type, content, sender, txn } = request
    if (type === 'm.room.redaction') {
      const target = own(content, 'redacts')
      if (typeof target !== 'string') throw new MatrixError('M_BAD_JSON', 'content.redacts must name the event to redact')
      return this.redact({ roomId, eventId: target, content, sender, txn })
    }
    const key = txnKey({ userId: sender.userId, deviceId: sender.deviceId, ...txn })
    const proposalTxn = { key, deviceId: sender.deviceId, txnId: txn.txnId }
    const guard = this.#relations.guardOf({ roomId, sender: sender.userId, type, content })
    return this.#writer.sendOnce(
      key,
      roomId,
      () => ({ type, sender: sender.userId, content, originServerTs: this.#env.now(), txn: proposalTxn }),
      guard,
    )
  }

  /**
   * Redacts an event, once per transaction id. The sender of the event may, and who has the redact level.
   * @param request.ownOnly refuses other people's events whatever the level, as of a suspended user
   * @throws MatrixError M_NOT_FOUND when the room has no such event, M_FORBIDDEN
   */
  async redact(request: {
    roomId: string
    eventId: string
    content: JsonObject
    sender: Sender
    txn: TxnRequest
    ownOnly?: boolean
  }): Promise<string> {
    const { roomId, eventId, sender, txn } = request
    const room = await this.#rooms.byRoomId(roomId)
    const target = await this.#events.byId(eventId)
    if (room === undefined || target === undefined || target.roomNid !== room.roomNid || target.rejectionReason !== undefined) {
      throw new MatrixError('M_NOT_FOUND', 'There is no such event in this room')
    }
    if (request.ownOnly === true && target.sender !== sender.userId) throw new MatrixError('M_USER_SUSPENDED', 'Your account is suspended')
    const key = txnKey({ userId: sender.userId, deviceId: sender.deviceId, ...txn })
    return this.#writer.sendOnce(key, roomId, (head) => {
      if (target.type === 'm.room.create') throw new MatrixError('M_FORBIDDEN', 'The create event cannot be redacted')
      const levels = head.powerLevels
      if (target.sender !== sender.userId && (levels === undefined || levels.userLevel(sender.userId) < levels.redact)) {
        throw new MatrixError('M_FORBIDDEN', "Your power level does not suffice to redact other people's events")
      }
      const content: JsonObject = { ...request.content }
      delete content.redacts
      if (head.version.contentRedacts) content.redacts = eventId
      return {
        type: 'm.room.redaction',
        sender: sender.userId,
        content,
        originServerTs: this.#env.now(),
        redacts: { eventId, eventNid: target.eventNid, key: target.stateKey === undefined ? undefined : [target.type, target.stateKey] },
        txn: { key, deviceId: sender.deviceId, txnId: txn.txnId },
      }
    })
  }

  /**
   * Sets state. The same content by the same sender again makes no new event.
   * @throws MatrixError M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE, M_BAD_JSON, M_BAD_ALIAS, M_INVALID_PARAM
   */
  async setState(request: { roomId: string; type: string; stateKey: string; content: JsonObject; sender: Sender }): Promise<string> {
    const { roomId, type, stateKey, content, sender } = request
    if (type === 'm.room.member') return this.#memberships.putState(sender.userId, stateKey, roomId, content)
    if (type === 'm.room.canonical_alias' && stateKey === '') await this.#checkCanonicalAlias(roomId, content)
    if (type === 'm.room.server_acl' && stateKey === '') requireNotLockedOut(content, this.#env.serverName)
    const sent = await this.#writer.send(
      roomId,
      (head) => stateDecision(head, { type, stateKey, content, sender: sender.userId, originServerTs: this.#env.now() }),
      [[type, stateKey]],
    )
    return sent.eventId
  }

  /**
   * Spec: client-server API, "m.room.canonical_alias": aliases must lead to the room. What the event says already may stay: an alias
   * may have gone since.
   */
  async #checkCanonicalAlias(roomId: string, content: JsonObject): Promise<void> {
    const { alias, ...others } = content
    const checked = checkAliasContent(alias === null ? others : content)
    if (!checked.ok) throw new MatrixError('M_INVALID_PARAM', checked.reason)
    const named = new Set([...(checked.alias === undefined ? [] : [checked.alias]), ...checked.altAliases])
    if (named.size > MAX_ALT_ALIASES) throw new MatrixError('M_TOO_LARGE', `More than ${MAX_ALT_ALIASES} aliases`)
    await this.#writer.inspect(roomId, (head) => {
      const before = head.content('m.room.canonical_alias') ?? {}
      for (const old of [own(before, 'alias'), ...(ownArray(before, 'alt_aliases') ?? [])]) if (typeof old === 'string') named.delete(old)
    })
    for (const value of named) {
      const target = await this.#rooms.byAlias(value)
      if (target?.room.roomId !== roomId) throw new MatrixError('M_BAD_ALIAS', `${value} does not point to this room`)
    }
  }
}

/**
 * Nobody of this server could take back what shuts it out, since other servers would drop the event.
 * @throws MatrixError M_INVALID_PARAM
 */
export function requireNotLockedOut(content: JsonObject, serverName: string): void {
  if (aclLocksOut(content, serverName)) throw new MatrixError('M_INVALID_PARAM', 'This would shut your own server out of the room')
}

/** A state event, unless the state has just that. */
function stateDecision(head: RoomHead, proposal: Proposal & { readonly stateKey: string }): Decision {
  const before = head.get(proposal.type, proposal.stateKey)
  requireRoomForState(head, proposal)
  // A member's kept content is only its membership, so its equality is judged by who has the whole.
  const comparable = before !== undefined && before.type !== 'm.room.member'
  if (comparable && before.sender === proposal.sender && isDeepStrictEqual(before.content, proposal.content))
    return { existing: before.eventId }
  return proposal
}
