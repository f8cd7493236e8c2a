import { isDeepStrictEqual } from 'node:util'
import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  MatrixError,
  own,
  ownArray,
  ownString,
  parseUserId,
  requireRoomVersion,
} from '@weft/matrix'
import type { EventsReader, MembershipsReader, Queryable, RoomsReader } from '@weft/storage'
import { contentOf, membershipsWriter } from '@weft/storage'
import type { RoomsEnvironment } from './environment.ts'
import type { Decision, EventWriter } from './event-writer.ts'
import type { InviteRules } from './invite-rules.ts'
import type { RoomHead } from './room-head.ts'
import { predecessorOf, type Succession } from './succession.ts'

/** What member events carry of a profile. */
export interface MemberProfile {
  readonly displayname?: JsonValue | undefined
  readonly avatar_url?: JsonValue | undefined
}

/** Where member events get profiles from (packages/accounts). */
export interface Profiles {
  /** Nothing for a user without a profile, or of another server. */
  memberProfile(userId: string): Promise<MemberProfile>
}

export interface MembershipsOptions {
  readonly writer: EventWriter
  readonly rooms: RoomsReader
  readonly events: EventsReader
  readonly memberships: MembershipsReader
  readonly profiles: Profiles
  readonly succession: Succession
  readonly invites: InviteRules
  readonly environment: RoomsEnvironment
  /** Runs a statement in a transaction that this writer's epoch fences. */
  readonly db: Queryable
}

type Action = 'join' | 'invite' | 'leave' | 'kick' | 'ban' | 'unban' | 'knock'

/** Changes who is in a room. Spec: client-server API, "Room membership". */
export class Memberships {
  readonly #o: MembershipsOptions

  constructor(options: MembershipsOptions) {
    this.#o = options
  }

  /**
   * Joins a room that this server is in. Joining again changes nothing.
   * @throws MatrixError M_FORBIDDEN, M_NOT_FOUND, M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN
   */
  async join(userId: string, roomId: string, options: { reason?: string | undefined } = {}): Promise<string> {
    const profile = await this.#o.profiles.memberProfile(userId)
    const authoriser = await this.#authoriser(userId, roomId)
    let predecessor: string | undefined
    await this.#set('join', userId, userId, roomId, (head) => {
      if (head.membership(userId) === 'join') return undefined
      predecessor = predecessorOf(head)
      return memberContent('join', profile, { reason: options.reason, join_authorised_via_users_server: authoriser })
    })
    if (predecessor !== undefined) await this.#o.succession.carry(userId, predecessor, roomId)
    return roomId
  }

  /** Asks to be let in. Spec: client-server API, "Knocking on rooms". */
  async knock(userId: string, roomId: string, options: { reason?: string | undefined } = {}): Promise<string> {
    const profile = await this.#o.profiles.memberProfile(userId)
    await this.#requireKnock(userId, roomId)
    await this.#set('knock', userId, userId, roomId, (head) => {
      if (!head.version.knock) throw new MatrixError('M_FORBIDDEN', 'This room version has no knocking')
      return head.membership(userId) === 'knock' ? undefined : memberContent('knock', profile, { reason: options.reason })
    })
    return roomId
  }

  /** Invites a user of this server. @throws MatrixError M_FORBIDDEN, M_INVALID_PARAM, M_INVITE_BLOCKED, M_LIMIT_EXCEEDED */
  async invite(sender: string, userId: string, roomId: string, options: { reason?: string | undefined } = {}): Promise<void> {
    await this.#o.invites.invite(sender, [userId], { roomId, counted: true })
    const profile = await this.#o.profiles.memberProfile(userId)
    await this.#set('invite', sender, userId, roomId, () => memberContent('invite', profile, { reason: options.reason }))
  }

  /**
   * Sets member state as a client wrote it, by the same rules as the endpoints for each change.
   * Spec: client-server API, PUT rooms/{roomId}/state/m.room.member/{stateKey}.
   * @throws MatrixError M_BAD_JSON, M_FORBIDDEN, M_NOT_FOUND, M_INVITE_BLOCKED, M_LIMIT_EXCEEDED, M_UNABLE_TO_AUTHORISE_JOIN,
   *   M_UNABLE_TO_GRANT_JOIN
   */
  async putState(sender: string, userId: string, roomId: string, given: JsonObject): Promise<string> {
    if (parseUserId(userId) === undefined) throw new MatrixError('M_BAD_JSON', 'The state key of m.room.member must be a user id')
    const membership = ownString(given, 'membership')
    if (membership === undefined) throw new MatrixError('M_BAD_JSON', 'membership must be a string')
    if (own(given, 'third_party_invite') !== undefined) throw new MatrixError('M_BAD_JSON', 'third_party_invite is not accepted here')
    // Whose word lets a user in is not for that user to say.
    const { join_authorised_via_users_server: _, ...content } = given
    if (membership === 'invite') await this.#o.invites.invite(sender, [userId], { roomId, counted: false })
    if (membership === 'knock') await this.#requireKnock(userId, roomId)
    if (membership === 'join' && sender === userId) {
      const authoriser = await this.#authoriser(userId, roomId)
      if (authoriser !== undefined) content.join_authorised_via_users_server = authoriser
    }
    let predecessor: string | undefined
    const decide = (head: RoomHead): Decision => {
      predecessor = membership === 'join' && head.membership(userId) !== 'join' ? predecessorOf(head) : undefined
      return { type: 'm.room.member', stateKey: userId, sender, content, originServerTs: this.#o.environment.now() }
    }
    const { eventId } = await this.#o.writer.send(roomId, decide, [['m.room.member', userId]])
    if (predecessor !== undefined) await this.#o.succession.carry(userId, predecessor, roomId)
    return eventId
  }

  /** Leaves a room, or rejects an invite. Leaving again changes nothing. @throws MatrixError M_FORBIDDEN, M_NOT_FOUND */
  async leave(userId: string, roomId: string, options: { reason?: string | undefined } = {}): Promise<void> {
    await this.#set('leave', userId, userId, roomId, (head) => {
      if (head.membership(userId) === 'leave') return undefined
      return memberContent('leave', {}, { reason: options.reason })
    })
  }

  /** @throws MatrixError M_FORBIDDEN, also when the user is not there to be kicked */
  async kick(sender: string, userId: string, roomId: string, options: { reason?: string | undefined } = {}): Promise<void> {
    await this.#set('kick', sender, userId, roomId, (head) => {
      const membership = head.membership(userId)
      if (membership !== 'join' && membership !== 'invite' && membership !== 'knock') {
        throw new MatrixError('M_FORBIDDEN', 'The user is not in the room')
      }
      return memberContent('leave', {}, { reason: options.reason })
    })
  }

  async ban(sender: string, userId: string, roomId: string, options: { reason?: string | undefined } = {}): Promise<void> {
    await this.#set('ban', sender, userId, roomId, (head) => {
      // Banning again changes nothing, but only who may ban learns so.
      if (head.membership(userId) === 'ban' && mayBan(head, sender)) return undefined
      return memberContent('ban', {}, { reason: options.reason })
    })
  }

  /** @throws MatrixError M_FORBIDDEN, M_BAD_STATE when the user is not banned */
  async unban(sender: string, userId: string, roomId: string, options: { reason?: string | undefined } = {}): Promise<void> {
    await this.#set('unban', sender, userId, roomId, (head) => {
      // Spec: client-server API, "Other error codes". Who may not unban is told that alone.
      if (head.membership(userId) !== 'ban' && mayBan(head, sender)) throw new MatrixError('M_BAD_STATE', 'The user is not banned')
      if (head.membership(userId) !== 'ban') throw new MatrixError('M_FORBIDDEN', 'Your power level does not suffice to undo bans')
      return memberContent('leave', {}, { reason: options.reason })
    })
  }

  /**
   * Forgets a room that the user has left.
   * @throws MatrixError M_UNKNOWN (400) while the user is in it, M_NOT_FOUND for one the user never was in
   */
  async forget(userId: string, roomId: string): Promise<void> {
    const room = await this.#o.rooms.byRoomId(roomId)
    const row = room && (await this.#o.memberships.membership(room.roomNid, userId))
    if (room === undefined || row === undefined) throw new MatrixError('M_NOT_FOUND', 'You were never in this room')
    const { sql, values } = membershipsWriter.forget(userId, room.roomNid)
    const rows = await this.#o.db.query(sql, values)
    if (rows.length === 0) throw new MatrixError('M_UNKNOWN', 'You are still in this room: leave it first', { status: 400 })
  }

  /** Brings the profile in the user's member event up to date, where the user is joined and it differs. */
  async refreshProfile(userId: string, roomId: string, profile: MemberProfile): Promise<void> {
    const room = await this.#o.rooms.byRoomId(roomId)
    const row = room && (await this.#o.memberships.membership(room.roomNid, userId))
    if (room === undefined || row?.membership !== 'join') return
    const event = (await this.#o.events.byNids([row.eventNid])).get(row.eventNid)
    if (event === undefined) return
    const before = contentOf(event, requireRoomVersion(room.roomVersion), event.redactedBy !== undefined)
    const { displayname: _d, avatar_url: _a, ...others } = before
    const content: JsonObject = { ...others, ...definedOnly({ displayname: profile.displayname, avatar_url: profile.avatar_url }) }
    if (isDeepStrictEqual(before, content)) return
    await this.#set('join', userId, userId, roomId, (head) => (head.membership(userId) === 'join' ? content : undefined))
  }

  async #set(
    action: Action,
    sender: string,
    target: string,
    roomId: string,
    contentFor: (head: RoomHead) => JsonObject | undefined,
  ): Promise<void> {
    if (parseUserId(target) === undefined) throw new MatrixError('M_INVALID_PARAM', `${JSON.stringify(target)} is not a user id`)
    const decide = (head: RoomHead): Decision => {
      if (action !== 'join' && action !== 'knock' && head.membership(sender) === undefined) {
        throw new MatrixError('M_FORBIDDEN', 'You are not in this room')
      }
      const content = contentFor(head)
      if (content === undefined) return { existing: head.get('m.room.member', target)?.eventId ?? '' }
      return { type: 'm.room.member', stateKey: target, sender, content, originServerTs: this.#o.environment.now() }
    }
    await this.#o.writer.send(roomId, decide, [['m.room.member', target]])
  }

  async #requireKnock(userId: string, roomId: string): Promise<void> {
    const room = await this.#o.rooms.byRoomId(roomId)
    if (room !== undefined) await this.#o.invites.knock(userId, room.roomNid)
  }

  /**
   * The user whose word lets someone into a restricted room, if the room is one and the user is not in or invited already.
   * Spec: client-server API, "Restricted rooms"; server-server API, "Restricted rooms".
   */
  async #authoriser(userId: string, roomId: string): Promise<string | undefined> {
    let rule: { allow: JsonValue[]; authorisers: string[] } | undefined
    await this.#o.writer.inspect(roomId, (head) => {
      const content = head.content('m.room.join_rules')
      const joinRule = content && ownString(content, 'join_rule')
      const restricted =
        (joinRule === 'restricted' && head.version.restrictedJoin) || (joinRule === 'knock_restricted' && head.version.knockRestricted)
      const membership = head.membership(userId)
      if (!restricted || membership === 'join' || membership === 'invite' || membership === 'ban') return
      rule = { allow: (content && ownArray(content, 'allow')) ?? [], authorisers: this.#inviters(head) }
    })
    if (rule === undefined) return undefined
    let [asked, known] = [false, false]
    for (const condition of rule.allow) {
      if (!isJsonObject(condition) || own(condition, 'type') !== 'm.room_membership') continue
      const allowedRoom = ownString(condition, 'room_id')
      if (allowedRoom === undefined) continue
      asked = true
      const room = await this.#o.rooms.byRoomId(allowedRoom)
      if (room === undefined) continue
      known = true
      if ((await this.#o.memberships.membership(room.roomNid, userId))?.membership !== 'join') continue
      const authoriser = rule.authorisers[0]
      if (authoriser === undefined) throw new MatrixError('M_UNABLE_TO_GRANT_JOIN', 'Nobody of this server in the room may invite')
      return authoriser
    }
    if (asked && !known) throw new MatrixError('M_UNABLE_TO_AUTHORISE_JOIN', 'This server knows none of the rooms whose members may join')
    throw new MatrixError('M_FORBIDDEN', 'You are in none of the rooms whose members may join')
  }

  /** Somebody of this server who is in the room and may invite. */
  #inviters(head: RoomHead): string[] {
    const levels = head.powerLevels
    if (levels === undefined) return []
    for (const [type, stateKey] of head.entries()) {
      if (type !== 'm.room.member' || head.membership(stateKey) !== 'join') continue
      if (parseUserId(stateKey)?.serverName !== this.#o.environment.serverName) continue
      if (levels.userLevel(stateKey) >= levels.invite) return [stateKey]
    }
    return []
  }
}

function mayBan(head: RoomHead, userId: string): boolean {
  const levels = head.powerLevels
  return levels !== undefined && head.membership(userId) === 'join' && levels.userLevel(userId) >= levels.ban
}

/** The content of a member event. */
export function memberContent(membership: string, profile: MemberProfile, extra: Record<string, JsonValue | undefined>): JsonObject {
  return { membership, ...definedOnly({ displayname: profile.displayname, avatar_url: profile.avatar_url }), ...definedOnly(extra) }
}

function definedOnly(object: Record<string, JsonValue | undefined>): JsonObject {
  const defined: JsonObject = {}
  for (const [key, value] of Object.entries(object)) if (value !== undefined && value !== null) defined[key] = value
  return defined
}
