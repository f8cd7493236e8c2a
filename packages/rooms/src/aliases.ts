import { isJsonObject, type JsonObject, MatrixError, own, parseRoomAlias } from '@weft/matrix'
import { type Queryable, type RoomsReader, roomsWriter } from '@weft/storage'
import type { RoomsEnvironment } from './environment.ts'
import type { EventWriter } from './event-writer.ts'

/** Aliases a room may have on this server (R26). */
const MAX_ALIASES_PER_ROOM = 500
/** Aliases a user may have made (R26). */
const MAX_ALIASES_PER_USER = 1000

/** @throws MatrixError M_LIMIT_EXCEEDED for a user who has made as many aliases as anybody may */
export async function requireAliasesLeft(rooms: RoomsReader, userId: string): Promise<void> {
  if ((await rooms.aliasesBy(userId)) >= MAX_ALIASES_PER_USER) throw new MatrixError('M_LIMIT_EXCEEDED', 'You have made too many aliases')
}

/** Local room aliases. Spec: client-server API, "Room aliases". */
export class Aliases {
  readonly #writer: EventWriter
  readonly #rooms: RoomsReader
  readonly #db: Queryable
  readonly #env: RoomsEnvironment

  constructor(options: { writer: EventWriter; rooms: RoomsReader; db: Queryable; environment: RoomsEnvironment }) {
    this.#writer = options.writer
    this.#rooms = options.rooms
    this.#db = options.db
    this.#env = options.environment
  }

  /**
   * Makes an alias point to a room that the user is in.
   * @throws MatrixError M_INVALID_PARAM, M_FORBIDDEN, M_UNKNOWN (409) when the alias is taken, M_NOT_FOUND without such a room,
   *   M_LIMIT_EXCEEDED where the room or the user has too many
   */
  async create(userId: string, alias: string, roomId: string): Promise<void> {
    this.#requireLocal(alias)
    const room = await this.#rooms.byRoomId(roomId)
    if (room === undefined) throw new MatrixError('M_NOT_FOUND', 'There is no such room')
    await this.#writer.inspect(roomId, (head) => {
      if (head.membership(userId) !== 'join') throw new MatrixError('M_FORBIDDEN', 'You are not in this room')
    })
    await requireAliasesLeft(this.#rooms, userId)
    const { sql, values } = roomsWriter.insertAlias(alias, room.roomNid, userId, MAX_ALIASES_PER_ROOM)
    if ((await this.#db.query(sql, values)).length > 0) return
    if ((await this.#rooms.byAlias(alias)) !== undefined) throw new MatrixError('M_UNKNOWN', `The alias ${alias} is taken`, { status: 409 })
    throw new MatrixError('M_LIMIT_EXCEEDED', 'The room has too many aliases')
  }

  /**
   * Removes an alias: its creator may, a server administrator, and who may change the room's canonical alias.
   * The canonical alias event is brought up to date where the user's power suffices.
   * @throws MatrixError M_NOT_FOUND, M_FORBIDDEN
   */
  async remove(user: { readonly userId: string; readonly isAdmin: boolean }, alias: string): Promise<void> {
    this.#requireLocal(alias)
    const target = await this.#rooms.byAlias(alias)
    if (target === undefined) throw new MatrixError('M_NOT_FOUND', `There is no alias ${alias}`)
    let maySetCanonical = false
    let canonical: JsonObject | undefined
    await this.#writer.inspect(target.room.roomId, (head) => {
      const levels = head.powerLevels
      const joined = head.membership(user.userId) === 'join'
      maySetCanonical = joined && levels !== undefined && levels.userLevel(user.userId) >= levels.eventLevel('m.room.canonical_alias', true)
      canonical = head.content('m.room.canonical_alias')
    })
    if (target.aliasCreator !== user.userId && !user.isAdmin && !maySetCanonical) {
      throw new MatrixError('M_FORBIDDEN', 'Only its creator and those who may set the canonical alias can remove an alias')
    }
    const { sql, values } = roomsWriter.deleteAlias(alias)
    await this.#db.query(sql, values)
    const without = canonical && withoutAlias(canonical, alias)
    if (!maySetCanonical || without === undefined) return
    await this.#writer.send(
      target.room.roomId,
      () => ({ type: 'm.room.canonical_alias', stateKey: '', sender: user.userId, content: without, originServerTs: this.#env.now() }),
      [['m.room.canonical_alias', '']],
    )
  }

  #requireLocal(alias: string): void {
    const id = parseRoomAlias(alias)
    if (id === undefined || id.localpart === '') throw new MatrixError('M_INVALID_PARAM', 'Not a room alias')
    if (id.serverName !== this.#env.serverName) throw new MatrixError('M_INVALID_PARAM', 'The alias is of another server')
  }
}

/** The canonical alias content without an alias; `undefined` where it does not name it. */
function withoutAlias(content: JsonObject, alias: string): JsonObject | undefined {
  const alternatives = own(content, 'alt_aliases')
  const listed = Array.isArray(alternatives) && alternatives.includes(alias)
  if (own(content, 'alias') !== alias && !listed) return undefined
  const without: JsonObject = { ...content }
  if (own(content, 'alias') === alias) delete without.alias
  if (Array.isArray(alternatives)) without.alt_aliases = alternatives.filter((other) => other !== alias)
  return isJsonObject(without) ? without : undefined
}
