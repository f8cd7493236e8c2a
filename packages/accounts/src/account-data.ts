import {
  fitsBytes,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  MatrixError,
  own,
  parseJson,
  parseJsonObject,
  predefinedPushRules,
  setOwn,
} from '@weft/matrix'
import { type AccountDataRow, accountDataStream } from '@weft/replication'
import { AccountDataReader, AccountDataWriter, GLOBAL_ACCOUNT_DATA } from '@weft/storage'
import { KeyedQueue } from './keyed-queue.ts'
import type { KnownRoom, WriteStores } from './ports.ts'

/** What a user may keep (R26): types and bytes, globally and in each room; a single content; a type's name. */
export const accountDataLimits = {
  global: { types: 1_000, bytes: 16 << 20 },
  room: { types: 200, bytes: 2 << 20 },
  contentBytes: 512 << 10,
  typeBytes: 255,
  tags: 100,
  tagBytes: 255,
} as const

/** Types that only the server writes. Spec: client-server API, "Client Config", server behaviour. */
const PUSH_RULES = 'm.push_rules'
const SERVER_TYPES: ReadonlySet<string> = new Set(['m.fully_read', PUSH_RULES])
const TAGS = 'm.tag'
const DIRECT = 'm.direct'

/** Reads account data and tags. */
export class AccountDataReads {
  readonly #data: AccountDataReader

  constructor(data: AccountDataReader) {
    this.#data = data
  }

  /**
   * The content as JSON text. "Servers must allow clients to read" the types that the server manages "as normal": the push rules
   * are those of /sync, which no row holds.
   * @param room absent for the account's own data
   * @throws MatrixError M_NOT_FOUND
   */
  async get(userId: string, room: KnownRoom | undefined, type: string): Promise<string> {
    checkName('type', type, accountDataLimits.typeBytes)
    if (type === PUSH_RULES && room === undefined) return JSON.stringify({ global: predefinedPushRules(userId) })
    const content = await this.#data.get(userId, room?.roomNid ?? GLOBAL_ACCOUNT_DATA, type)
    if (content === undefined) throw new MatrixError('M_NOT_FOUND', 'Account data not found')
    return content
  }

  /** The tags that the user gave to a room. */
  async tags(userId: string, room: KnownRoom): Promise<JsonObject> {
    return tagsOf(await this.#data.get(userId, room.roomNid, TAGS))
  }
}

/** Writes account data and tags, which are account data of the type m.tag. */
export class AccountData {
  readonly #options: WriteStores
  readonly #queue = new KeyedQueue()

  constructor(options: WriteStores) {
    this.#options = options
  }

  /**
   * Sets what a client may set.
   * @throws MatrixError M_BAD_JSON (405) for a type that the server manages; M_INVALID_PARAM, M_TOO_LARGE
   */
  async set(userId: string, room: KnownRoom | undefined, type: string, content: JsonObject): Promise<void> {
    if (SERVER_TYPES.has(type)) throw new MatrixError('M_BAD_JSON', `Cannot set ${type} through this API.`, { status: 405 })
    checkName('type', type, accountDataLimits.typeBytes)
    const text = JSON.stringify(content)
    if (Buffer.byteLength(text) > accountDataLimits.contentBytes) throw tooLarge()
    await this.#write(userId, room, type, async () => text)
  }

  /**
   * Sets a type that the server manages in a room.
   * @param make the new content from the present one, while nobody else writes for this user; undefined leaves it as it is
   */
  async update(
    userId: string,
    room: KnownRoom,
    type: string,
    make: (current: JsonObject | undefined) => Promise<JsonObject | undefined>,
  ): Promise<void> {
    await this.#write(userId, room, type, async (current) => {
      const content = await make(current === undefined ? undefined : parseJsonObject(current))
      return content === undefined ? undefined : JSON.stringify(content)
    })
  }

  /** Gives a room a tag, or changes it. @throws MatrixError M_INVALID_PARAM, M_TOO_LARGE */
  async setTag(userId: string, room: KnownRoom, tag: string, content: JsonObject): Promise<void> {
    checkName('tag', tag, accountDataLimits.tagBytes)
    await this.#write(userId, room, TAGS, async (current) => {
      const tags = tagsOf(current)
      setOwn(tags, tag, content)
      if (Object.keys(tags).length > accountDataLimits.tags) throw new MatrixError('M_TOO_LARGE', 'Too many tags on this room')
      return JSON.stringify({ tags })
    })
  }

  /** Takes a tag away; one that is not there is passed over. */
  async deleteTag(userId: string, room: KnownRoom, tag: string): Promise<void> {
    await this.#write(userId, room, TAGS, async (current) => {
      const tags = tagsOf(current)
      if (!Object.hasOwn(tags, tag)) return undefined
      delete tags[tag]
      return JSON.stringify({ tags })
    })
  }

  /**
   * Gives a room that replaces another what the user has set for the other: its tags, unless the room has some, and its place
   * among the direct chats. Doing it again changes nothing.
   * Spec: client-server API, "Room Upgrades".
   */
  async carry(userId: string, from: KnownRoom, to: KnownRoom): Promise<void> {
    const tags = tagsOf(await new AccountDataReader(this.#options.db).get(userId, from.roomNid, TAGS))
    if (Object.keys(tags).length > 0) {
      await this.#write(userId, to, TAGS, async (current) =>
        Object.keys(tagsOf(current)).length > 0 ? undefined : JSON.stringify({ tags }),
      )
    }
    await this.#write(userId, undefined, DIRECT, async (current) => {
      const direct = current === undefined ? undefined : withSuccessor(parseJson(current), from.roomId, to.roomId)
      return direct && JSON.stringify(direct)
    })
  }

  /** @param make the new content as JSON text; undefined leaves it as it is */
  async #write(
    userId: string,
    room: KnownRoom | undefined,
    type: string,
    make: (current: string | undefined) => Promise<string | undefined>,
  ): Promise<void> {
    const { db, streams } = this.#options
    const roomNid = room?.roomNid ?? GLOBAL_ACCOUNT_DATA
    await this.#queue.run(userId, async () => {
      const current = await new AccountDataReader(db).get(userId, roomNid, type)
      const content = await make(current)
      if (content === undefined) return
      await streams.write(accountDataStream, 1, async (tx, [position]) => {
        const data = new AccountDataWriter(tx)
        const used = await data.usage(userId, roomNid, type)
        const limit = room === undefined ? accountDataLimits.global : accountDataLimits.room
        if (used.types >= limit.types || used.bytes + Buffer.byteLength(content) > limit.bytes) throw tooLarge()
        await data.set(userId, roomNid, type, position!, content)
        const row: AccountDataRow = { position: position!, userId, type, content }
        return [room === undefined ? row : { ...row, roomNid, roomId: room.roomId }]
      })
    })
  }
}

/** The tags of a m.tag content, which clients may also have written as plain account data of any shape (R30). */
function tagsOf(content: string | undefined): JsonObject {
  const value = content === undefined ? undefined : parseJson(content)
  const tags = isJsonObject(value) ? own(value, 'tags') : undefined
  return isJsonObject(tags) ? tags : {}
}

/** A m.direct content with the new room beside the old one; undefined where the old one is not in it, or nothing changes (R30). */
function withSuccessor(content: JsonValue, from: string, to: string): JsonObject | undefined {
  if (!isJsonObject(content)) return undefined
  const changed: JsonObject = { ...content }
  let found = false
  for (const [userId, rooms] of Object.entries(content)) {
    if (!Array.isArray(rooms) || !rooms.includes(from) || rooms.includes(to)) continue
    setOwn(changed, userId, [...rooms, to])
    found = true
  }
  return found ? changed : undefined
}

function checkName(what: string, name: string, maxBytes: number): void {
  if (name === '' || name.includes('\0') || !fitsBytes(name, maxBytes)) {
    throw new MatrixError('M_INVALID_PARAM', `The ${what} must be 1 to ${maxBytes} bytes without NUL`)
  }
}

function tooLarge(): MatrixError {
  return new MatrixError('M_TOO_LARGE', 'Too much account data')
}
