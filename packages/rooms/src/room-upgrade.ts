import {
  type JsonObject,
  MatrixError,
  own,
  ownArray,
  ownString,
  parseUserId,
  type RoomVersion,
  roomCreators,
  roomVersions,
} from '@weft/matrix'
import { contentOf, type EventsReader, type RoomDirectoryReader, type RoomsReader, roomDirectoryWriter, roomsWriter } from '@weft/storage'
import type { Proposal } from './append-event.ts'
import type { Replacement } from './build-room.ts'
import type { RoomsEnvironment } from './environment.ts'
import type { EventWriter } from './event-writer.ts'
import { type MemberProfile, memberContent, type Profiles } from './memberships.ts'
import type { RoomHead } from './room-head.ts'
import { predecessorOf, type Succession } from './succession.ts'
import { endedLevels, raisedLevels, upgradedLevels } from './upgraded-levels.ts'

/** State that a replacement takes over as it is, in this order. Spec: client-server API, "Room Upgrades", 3. */
const COPIED_TYPES = [
  'm.room.join_rules',
  'm.room.history_visibility',
  'm.room.guest_access',
  'm.room.name',
  'm.room.topic',
  'm.room.avatar',
  'm.room.encryption',
  'm.room.server_acl',
] as const

/** Bans that are taken over. */
const MAX_BANS = 5000
/** Rooms of a space that are taken over. */
const MAX_CHILDREN = 2000

interface Upgrade {
  readonly userId: string
  readonly version: RoomVersion
  readonly additionalCreators: readonly string[]
  readonly profile: MemberProfile
  /** The old room's aliases on this server. */
  readonly aliases: ReadonlySet<string>
  readonly banContents: ReadonlyMap<number, JsonObject>
}

/**
 * Upgrades rooms to other versions. The replacement with all its state and bans, the tombstone, the restriction of the old room,
 * its aliases and its place in the room directory are one transaction: after a crash either all of it is there or nothing, and
 * whoever asks again is told of the replacement that is there. What follows by itself: each local user's tags and direct chats,
 * when that user joins.
 *
 * Spec: client-server API, "Room Upgrades", "Server behaviour".
 */
export class RoomUpgrade {
  readonly #writer: EventWriter
  readonly #rooms: RoomsReader
  readonly #events: EventsReader
  readonly #directory: RoomDirectoryReader
  readonly #profiles: Profiles
  readonly #succession: Succession
  readonly #env: RoomsEnvironment
  /** One at a time for each room: who asks meanwhile is answered with the replacement that comes of it. */
  readonly #running = new Map<string, Promise<unknown>>()

  constructor(options: {
    writer: EventWriter
    rooms: RoomsReader
    events: EventsReader
    directory: RoomDirectoryReader
    profiles: Profiles
    succession: Succession
    environment: RoomsEnvironment
  }) {
    this.#writer = options.writer
    this.#rooms = options.rooms
    this.#events = options.events
    this.#directory = options.directory
    this.#profiles = options.profiles
    this.#succession = options.succession
    this.#env = options.environment
  }

  /**
   * Replaces a room by one of another version.
   * @returns the new room's id; the same again for a repeated request
   * @throws MatrixError M_UNSUPPORTED_ROOM_VERSION, M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN
   */
  async upgrade(
    userId: string,
    roomId: string,
    request: { readonly newVersion: string; readonly additionalCreators: readonly string[] },
  ): Promise<string> {
    const version = roomVersions.get(request.newVersion)
    if (version === undefined) {
      throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', `Room version ${JSON.stringify(request.newVersion)} is not supported`)
    }
    // Where the version has no additional creators, they are to be ignored.
    const additional = version.privilegedCreators ? new Set(request.additionalCreators) : new Set<string>()
    additional.delete(userId)
    if ([...additional].some((id) => parseUserId(id) === undefined)) {
      throw new MatrixError('M_INVALID_PARAM', 'additional_creators must be a list of user ids')
    }
    for (let running = this.#running.get(roomId); running !== undefined; running = this.#running.get(roomId)) {
      await running.catch(() => undefined)
    }
    const upgrading = this.#upgrade(userId, roomId, version, [...additional])
    this.#running.set(roomId, upgrading)
    try {
      return await upgrading
    } finally {
      this.#running.delete(roomId)
    }
  }

  async #upgrade(userId: string, roomId: string, version: RoomVersion, additionalCreators: readonly string[]): Promise<string> {
    const done = await this.#replacementBy(userId, roomId, version)
    if (done !== undefined) return done
    const room = await this.#rooms.byRoomId(roomId)
    if (room === undefined) throw new MatrixError('M_NOT_FOUND', 'There is no such room')
    const [profile, isPublished, aliases, banContents] = await Promise.all([
      this.#profiles.memberProfile(userId),
      this.#directory.isPublished(room.roomNid),
      this.#rooms.aliases(room.roomNid),
      this.#banContents(roomId),
    ])
    const upgrade: Upgrade = {
      userId,
      version,
      additionalCreators,
      profile,
      aliases: new Set(aliases.map(({ alias }) => alias)),
      banContents,
    }
    const replaced = await this.#writer.replaceRoom({
      roomId,
      plan: (old) => this.#plan(old, upgrade),
      makeRoomId: () => `!${this.#env.randomId(18)}:${this.#env.serverName}`,
      extra: (oldNid, newNid) => [
        roomsWriter.moveAliases(oldNid, newNid),
        ...(isPublished ? [roomDirectoryWriter.unpublish(oldNid), roomDirectoryWriter.publish(newNid)] : []),
      ],
    })
    await this.#succession.carry(userId, roomId, replaced.roomId)
    return replaced.roomId
  }

  /** The replacement that this user has made of the room already, in that version: the answer to the first request was lost. */
  async #replacementBy(userId: string, roomId: string, version: RoomVersion): Promise<string | undefined> {
    let replacement: string | undefined
    await this.#writer.inspect(roomId, (head) => {
      const tombstone = head.get('m.room.tombstone', '')
      if (tombstone?.sender === userId) replacement = ownString(tombstone.content, 'replacement_room')
    })
    const room = replacement === undefined ? undefined : await this.#rooms.byRoomId(replacement)
    if (room === undefined || room.roomVersion !== version.id || room.creator !== userId) return undefined
    let succeeds = false
    await this.#writer.inspect(room.roomId, (head) => {
      succeeds = predecessorOf(head) === roomId
    })
    return succeeds ? room.roomId : undefined
  }

  /** What the bans say beside that they are: the head does not keep it. */
  async #banContents(roomId: string): Promise<Map<number, JsonObject>> {
    const nids: number[] = []
    let version: RoomVersion | undefined
    await this.#writer.inspect(roomId, (head) => {
      ;({ version } = head)
      for (const { eventNid } of bansIn(head)) nids.push(eventNid)
    })
    const rows = await this.#events.byNids(nids)
    return new Map([...rows].map(([nid, row]) => [nid, contentOf(row, version as RoomVersion, row.redactedBy !== undefined)]))
  }

  #plan(old: RoomHead, upgrade: Upgrade): Replacement {
    const { userId, version } = upgrade
    const levels = old.powerLevels
    const may = old.membership(userId) === 'join' && levels !== undefined
    if (!may || levels.userLevel(userId) < levels.eventLevel('m.room.tombstone', true)) {
      throw new MatrixError('M_FORBIDDEN', 'You may not send m.room.tombstone in this room, and so not upgrade it')
    }
    const now = this.#env.now()
    const state = (type: string, content: JsonObject, stateKey = ''): Proposal => ({
      type,
      stateKey,
      sender: userId,
      content,
      originServerTs: now,
    })
    const canonical = old.content('m.room.canonical_alias')
    const ended = endedLevels(old.content('m.room.power_levels') ?? {}, old.version)
    return {
      version,
      creator: userId,
      first: (predecessorEventId) => this.#first(old, upgrade, predecessorEventId, state),
      tombstone: (replacement_room) => state('m.room.tombstone', { body: 'This room has been replaced', replacement_room }),
      after: [
        ...(canonical === undefined
          ? []
          : [
              state(
                'm.room.canonical_alias',
                aliasesOf(canonical, (alias) => !upgrade.aliases.has(alias)),
              ),
            ]),
        ...(ended === undefined ? [] : [state('m.room.power_levels', ended)]),
      ],
    }
  }

  #first(
    old: RoomHead,
    upgrade: Upgrade,
    predecessorEventId: string | undefined,
    state: (type: string, content: JsonObject, stateKey?: string) => Proposal,
  ): Proposal[] {
    const { userId, version } = upgrade
    const oldCreate = old.get('m.room.create', '')
    const newCreators = [userId, ...upgrade.additionalCreators]
    const levels = upgradedLevels(old.content('m.room.power_levels') ?? {}, {
      from: old.version,
      to: version,
      oldCreators: oldCreate === undefined ? [] : roomCreators(old.version, oldCreate),
      newCreators,
    })
    const raised = version.privilegedCreators ? undefined : raisedLevels(levels, userId)
    const canonical = old.content('m.room.canonical_alias')
    const creators = new Set(version.privilegedCreators ? newCreators : [userId])
    return [
      state('m.room.create', createContent(old, upgrade, predecessorEventId)),
      state('m.room.member', memberContent('join', upgrade.profile, {}), userId),
      state('m.room.power_levels', raised ?? levels),
      ...(canonical === undefined
        ? []
        : [
            state(
              'm.room.canonical_alias',
              aliasesOf(canonical, (alias) => upgrade.aliases.has(alias)),
            ),
          ]),
      ...COPIED_TYPES.flatMap((type) => {
        const content = type === 'm.room.join_rules' ? joinRules(old, version) : old.content(type)
        return content === undefined ? [] : [state(type, content)]
      }),
      ...childrenOf(old).map(([roomId, content]) => state('m.space.child', content, roomId)),
      ...bansIn(old)
        .filter((ban) => !creators.has(ban.userId))
        .map((ban) => state('m.room.member', upgrade.banContents.get(ban.eventNid) ?? { membership: 'ban' }, ban.userId)),
      ...(raised === undefined ? [] : [state('m.room.power_levels', levels)]),
    ]
  }
}

function createContent(old: RoomHead, upgrade: Upgrade, eventId: string | undefined): JsonObject {
  const { version, userId, additionalCreators } = upgrade
  const before = old.content('m.room.create') ?? {}
  const content: JsonObject = {
    room_version: version.id,
    predecessor: { room_id: old.roomId, ...(eventId === undefined ? {} : { event_id: eventId }) },
  }
  for (const key of ['type', 'm.federate']) {
    const value = own(before, key)
    if (value !== undefined) content[key] = value
  }
  if (!version.implicitCreator) content.creator = userId
  if (additionalCreators.length > 0) content.additional_creators = [...additionalCreators]
  return content
}

/** Join rules that the new version does not know would let nobody in but by invitation, and say something else. */
function joinRules(old: RoomHead, version: RoomVersion): JsonObject | undefined {
  const content = old.content('m.room.join_rules')
  const rule = content && ownString(content, 'join_rule')
  const known =
    (rule !== 'knock' || version.knock) &&
    (rule !== 'restricted' || version.restrictedJoin) &&
    (rule !== 'knock_restricted' || version.knockRestricted)
  return known ? content : { join_rule: 'invite' }
}

/** Canonical alias content with the aliases that pass. */
function aliasesOf(content: JsonObject, passes: (alias: string) => boolean): JsonObject {
  const alias = ownString(content, 'alias')
  const alternatives = (ownArray(content, 'alt_aliases') ?? []).filter((one) => typeof one === 'string' && passes(one))
  return {
    ...(alias !== undefined && passes(alias) ? { alias } : {}),
    ...(alternatives.length > 0 ? { alt_aliases: alternatives } : {}),
  }
}

function bansIn(head: RoomHead): Array<{ userId: string; eventNid: number }> {
  const bans: Array<{ userId: string; eventNid: number }> = []
  for (const [type, stateKey, entry] of head.entries()) {
    if (type === 'm.room.member' && head.membership(stateKey) === 'ban') bans.push({ userId: stateKey, eventNid: entry.eventNid })
  }
  return bans.sort((a, b) => b.eventNid - a.eventNid).slice(0, MAX_BANS)
}

/** The rooms of a space; a removed one has no content. */
function childrenOf(head: RoomHead): Array<[roomId: string, content: JsonObject]> {
  const children: Array<[string, JsonObject]> = []
  for (const [type, stateKey, entry] of head.entries()) {
    if (type === 'm.space.child' && Object.keys(entry.content).length > 0) children.push([stateKey, entry.content])
  }
  return children.slice(0, MAX_CHILDREN)
}
