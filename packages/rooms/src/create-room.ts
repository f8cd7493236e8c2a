import { type JsonObject, MatrixError, own, ownArray, ownString, parseUserId, type RoomVersion, roomVersions } from '@weft/matrix'
import { isUniqueViolation, type RoomsReader, roomDirectoryWriter, roomsWriter } from '@weft/storage'
import { requireAliasesLeft } from './aliases.ts'
import type { Proposal } from './append-event.ts'
import type { RoomsEnvironment } from './environment.ts'
import type { EventWriter } from './event-writer.ts'
import { firstPowerLevels } from './first-power-levels.ts'
import type { InviteRules } from './invite-rules.ts'
import { memberContent, type Profiles } from './memberships.ts'
import { requireNotLockedOut } from './messages.ts'

/** The body of POST createRoom, shapes already checked. */
export interface CreateRoomRequest {
  readonly visibility?: 'public' | 'private' | undefined
  readonly room_alias_name?: string | undefined
  readonly name?: string | undefined
  readonly topic?: string | undefined
  readonly invite?: readonly string[] | undefined
  readonly room_version?: string | undefined
  readonly creation_content?: JsonObject | undefined
  readonly initial_state?: ReadonlyArray<{ type: string; state_key?: string | undefined; content: JsonObject }> | undefined
  readonly preset?: 'private_chat' | 'public_chat' | 'trusted_private_chat' | undefined
  readonly is_direct?: boolean | undefined
  readonly power_level_content_override?: JsonObject | undefined
}

interface Preset {
  readonly joinRule: string
  readonly guestAccess: string
  readonly historyVisibility: string
  readonly trusted: boolean
}

/** Spec: client-server API, createRoom, table of presets. */
const PRESETS: Readonly<Record<'private_chat' | 'public_chat' | 'trusted_private_chat', Preset>> = {
  private_chat: { joinRule: 'invite', guestAccess: 'can_join', historyVisibility: 'shared', trusted: false },
  trusted_private_chat: { joinRule: 'invite', guestAccess: 'can_join', historyVisibility: 'shared', trusted: true },
  public_chat: { joinRule: 'public', guestAccess: 'forbidden', historyVisibility: 'shared', trusted: false },
}

const MAX_INVITES = 100
const MAX_INITIAL_STATE = 200

/** Creates rooms. Spec: client-server API, "Creation". */
export class RoomCreation {
  readonly #writer: EventWriter
  readonly #rooms: RoomsReader
  readonly #invites: InviteRules
  readonly #profiles: Profiles
  readonly #env: RoomsEnvironment
  #lastCreateTs = 0

  constructor(options: {
    writer: EventWriter
    rooms: RoomsReader
    invites: InviteRules
    profiles: Profiles
    environment: RoomsEnvironment
  }) {
    this.#writer = options.writer
    this.#rooms = options.rooms
    this.#invites = options.invites
    this.#profiles = options.profiles
    this.#env = options.environment
  }

  /**
   * Creates a room: all its first events, its alias and its invites in one transaction.
   * @throws MatrixError M_UNSUPPORTED_ROOM_VERSION, M_ROOM_IN_USE, M_INVALID_ROOM_STATE, M_INVALID_PARAM, M_BAD_JSON,
   *   M_BAD_ALIAS, M_INVITE_BLOCKED, M_LIMIT_EXCEEDED, M_TOO_LARGE
   */
  async create(creator: string, request: CreateRoomRequest): Promise<{ roomId: string; roomAlias: string | undefined }> {
    const versionId = request.room_version ?? this.#env.defaultRoomVersion
    const version = roomVersions.get(versionId)
    if (version === undefined)
      throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', `Room version ${JSON.stringify(versionId)} is not supported`)
    const invites = [...new Set(request.invite ?? [])].filter((userId) => userId !== creator)
    if (invites.length > MAX_INVITES) throw new MatrixError('M_INVALID_PARAM', `At most ${MAX_INVITES} users can be invited at creation`)
    await this.#invites.invite(creator, invites, { counted: false })
    const alias = await this.#alias(request.room_alias_name)
    if (alias !== undefined) await requireAliasesLeft(this.#rooms, creator)
    checkInitialState(request.initial_state ?? [], alias, this.#env.serverName)
    const preset = PRESETS[request.preset ?? (request.visibility === 'public' ? 'public_chat' : 'private_chat')]
    const creationContent = this.#creationContent(version, creator, request, preset, invites)
    const powerLevels = firstPowerLevels({ version, creator, creationContent, request, trusted: preset.trusted ? invites : [] })
    const profile = await this.#profiles.memberProfile(creator)
    const inviteContents = await Promise.all(
      invites.map(async (userId) =>
        memberContent('invite', await this.#profiles.memberProfile(userId), { is_direct: request.is_direct === true ? true : undefined }),
      ),
    )

    const proposals = (): Proposal[] => {
      // Two rooms made at once by one user would otherwise be the same event, and so the same room (H5).
      const ts = Math.max(this.#env.now(), this.#lastCreateTs + 1)
      this.#lastCreateTs = ts
      const state = (type: string, content: JsonObject, stateKey = ''): Proposal => ({
        type,
        stateKey,
        sender: creator,
        content,
        originServerTs: ts,
      })
      const given = new Map<string, JsonObject>()
      for (const event of request.initial_state ?? []) if ((event.state_key ?? '') === '') given.set(event.type, event.content)
      const unlessGiven = (type: string, content: JsonObject) => (given.has(type) ? [] : [state(type, content)])
      return [
        state('m.room.create', creationContent),
        state('m.room.member', memberContent('join', profile, {}), creator),
        state('m.room.power_levels', given.get('m.room.power_levels') ?? powerLevels),
        ...(alias === undefined || given.has('m.room.canonical_alias') ? [] : [state('m.room.canonical_alias', { alias })]),
        ...unlessGiven('m.room.join_rules', { join_rule: preset.joinRule }),
        ...unlessGiven('m.room.history_visibility', { history_visibility: preset.historyVisibility }),
        ...(preset.guestAccess === 'forbidden' ? [] : unlessGiven('m.room.guest_access', { guest_access: preset.guestAccess })),
        ...(request.initial_state ?? [])
          .filter((event) => event.type !== 'm.room.power_levels' || (event.state_key ?? '') !== '')
          .map((event) => state(event.type, event.content, event.state_key ?? '')),
        ...(request.name === undefined ? [] : [state('m.room.name', { name: request.name })]),
        ...(request.topic === undefined ? [] : [state('m.room.topic', topicContent(request.topic))]),
        ...invites.map((userId, i) => state('m.room.member', inviteContents[i] as JsonObject, userId)),
      ]
    }
    try {
      const published = request.visibility === 'public'
      const { roomId } = await this.#writer.createRoom({
        version,
        creator,
        makeRoomId: () => `!${this.#env.randomId(18)}:${this.#env.serverName}`,
        proposals,
        extra: (nid) => [
          ...(alias === undefined ? [] : [roomsWriter.claimAlias(alias, nid, creator)]),
          ...(published ? [roomDirectoryWriter.publish(nid)] : []),
        ],
      })
      return { roomId, roomAlias: alias }
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
      if (isUniqueViolation(cause, 'room_aliases_pkey')) throw new MatrixError('M_ROOM_IN_USE', 'The room alias is taken')
      if (error instanceof MatrixError && error.errcode === 'M_FORBIDDEN') {
        // The state asked for does not fit together, as when a power level override takes the creator's own power away.
        throw new MatrixError('M_INVALID_ROOM_STATE', `The initial state is not allowed: ${error.message}`)
      }
      throw error
    }
  }

  async #alias(localpart: string | undefined): Promise<string | undefined> {
    if (localpart === undefined) return undefined
    if (localpart === '' || /[\s:]/.test(localpart) || localpart.includes('\0')) {
      throw new MatrixError('M_INVALID_PARAM', 'room_alias_name must be a localpart without colon, spaces and NUL')
    }
    const alias = `#${localpart}:${this.#env.serverName}`
    if (Buffer.byteLength(alias) > 255) throw new MatrixError('M_INVALID_PARAM', 'The room alias is longer than 255 bytes')
    if ((await this.#rooms.byAlias(alias)) !== undefined) throw new MatrixError('M_ROOM_IN_USE', 'The room alias is taken')
    return alias
  }

  #creationContent(
    version: RoomVersion,
    creator: string,
    request: CreateRoomRequest,
    preset: Preset,
    invites: readonly string[],
  ): JsonObject {
    const content: JsonObject = { ...request.creation_content, room_version: version.id }
    if (version.implicitCreator) delete content.creator
    else content.creator = creator
    if (!version.privilegedCreators) return content
    const given = own(content, 'additional_creators')
    if (given !== undefined && (!Array.isArray(given) || given.some((id) => typeof id !== 'string' || parseUserId(id) === undefined))) {
      throw new MatrixError('M_INVALID_PARAM', 'additional_creators must be a list of user ids')
    }
    // In these versions trusted invitees cannot be given the creator's power by a level: they become creators (H4).
    const additional = new Set([...((given as string[] | undefined) ?? []), ...(preset.trusted ? invites : [])])
    additional.delete(creator)
    if (additional.size > 0) content.additional_creators = [...additional]
    else delete content.additional_creators
    return content
  }
}

/** Spec: client-server API, "m.room.topic". */
function topicContent(topic: string): JsonObject {
  return { topic, 'm.topic': { 'm.text': [{ body: topic }] } }
}

/** @throws MatrixError M_INVALID_PARAM, M_INVALID_ROOM_STATE, M_BAD_ALIAS for an alias that cannot point to a room that is not there yet */
function checkInitialState(events: NonNullable<CreateRoomRequest['initial_state']>, alias: string | undefined, serverName: string): void {
  if (events.length > MAX_INITIAL_STATE) throw new MatrixError('M_INVALID_PARAM', `initial_state has more than ${MAX_INITIAL_STATE} events`)
  for (const { type, state_key: stateKey, content } of events) {
    if (type === 'm.room.create' || type === 'm.room.member') {
      throw new MatrixError('M_INVALID_ROOM_STATE', `${type} cannot be in initial_state`)
    }
    if (type === 'm.room.server_acl' && (stateKey ?? '') === '') requireNotLockedOut(content, serverName)
    if (type !== 'm.room.canonical_alias') continue
    const named = [ownString(content, 'alias') ?? '', ...(ownArray(content, 'alt_aliases') ?? [])]
    if (named.some((value) => value !== '' && value !== alias)) {
      throw new MatrixError('M_BAD_ALIAS', 'The canonical alias of a new room can only be its room_alias_name')
    }
  }
}
