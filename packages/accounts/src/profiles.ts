import {
  fitsBytes,
  isNamespacedId,
  isServerName,
  isUserId,
  type JsonObject,
  type JsonValue,
  MatrixError,
  own,
  parseJson,
  setOwn,
} from '@weft/matrix'
import { ProfilesReader, ProfilesWriter, UsersWriter } from '@weft/storage'
import type { Clock, FencedTransactions, WriteStores } from './ports.ts'

/** Spec: PUT /profile/{userId}/{keyName}: the whole profile as JSON, and a key. The two others go into member events. */
export const profileLimits = { profileBytes: 64 << 10, keyBytes: 255, displayNameLength: 256, avatarUrlLength: 1_000 } as const

/** The fields that member events carry: a change of theirs goes to the user's rooms. */
export type MemberField = 'displayname' | 'avatar_url'
const MEMBER_FIELDS: ReadonlySet<string> = new Set<MemberField>(['displayname', 'avatar_url'])

const MXC_URI = /^mxc:\/\/([^/]+)\/([A-Za-z0-9_-]+)$/

/** What member events say of a user. */
export interface MemberProfile {
  readonly displayname?: string
  readonly avatar_url?: string
}

/** Reads the profiles of this server's users. */
export class ProfileReads {
  readonly #profiles: ProfilesReader

  constructor(profiles: ProfilesReader) {
    this.#profiles = profiles
  }

  /** All fields, as JSON. @throws MatrixError M_NOT_FOUND for a user without any, or who does not exist: nobody learns which */
  async get(userId: string): Promise<JsonObject> {
    const fields = isUserId(userId) && userId.isWellFormed() ? await this.#profiles.list(userId) : []
    if (fields.length === 0) throw new MatrixError('M_NOT_FOUND', 'Profile not found')
    const profile: JsonObject = {}
    for (const field of fields) setOwn(profile, field.key_name, parseJson(field.value))
    return profile
  }

  /** One field's value. @throws MatrixError M_NOT_FOUND */
  async field(userId: string, keyName: string): Promise<JsonValue> {
    checkKey(keyName)
    const value = isUserId(userId) ? await this.#profiles.get(userId, keyName) : undefined
    if (value === undefined) throw new MatrixError('M_NOT_FOUND', 'No such profile field')
    return parseJson(value)
  }

  /** What a member event of the user should say. */
  async memberProfile(userId: string): Promise<MemberProfile> {
    const profile: { displayname?: string; avatar_url?: string } = {}
    for (const { key_name, value } of await this.#profiles.list(userId)) {
      if (!MEMBER_FIELDS.has(key_name)) continue
      const text = parseJson(value)
      if (typeof text === 'string') profile[key_name as MemberField] = text
    }
    return profile
  }
}

export interface ProfilesOptions extends WriteStores {
  /** Told after a change that member events carry was committed: the time to run the propagation. */
  readonly onMemberFieldChanged: (userId: string) => void
}

/** Writes profile fields. Spec: client-server API, "Profiles". */
export class Profiles {
  readonly #fenced: FencedTransactions
  readonly #clock: Clock
  readonly #onMemberFieldChanged: (userId: string) => void

  constructor(options: ProfilesOptions) {
    this.#fenced = options.fenced
    this.#clock = options.clock
    this.#onMemberFieldChanged = options.onMemberFieldChanged
  }

  /**
   * Sets a field from a request's body, whose property of that name is the value.
   * @throws MatrixError M_KEY_TOO_LARGE, M_INVALID_PARAM, M_MISSING_PARAM, M_BAD_JSON, M_PROFILE_TOO_LARGE
   */
  async set(userId: string, keyName: string, body: JsonObject): Promise<void> {
    checkKey(keyName)
    const value = own(body, keyName)
    if (value === undefined) throw new MatrixError('M_MISSING_PARAM', `${keyName} is missing`)
    checkValue(keyName, value)
    // NOTSPEC: an empty name or avatar is none, as in Synapse, since clients before spec v1.16 had no other way to say so.
    if (value === '' && MEMBER_FIELDS.has(keyName)) return this.delete(userId, keyName)
    const text = JSON.stringify(value)
    const changed = await this.#fenced.transaction(async (tx) => {
      await new UsersWriter(tx).lock(userId)
      const fields = await new ProfilesReader(tx).list(userId)
      if (fields.find((field) => field.key_name === keyName)?.value === text) return false
      const others = fields.filter((field) => field.key_name !== keyName)
      if (profileBytes([...others, { key_name: keyName, value: text }]) > profileLimits.profileBytes) {
        throw new MatrixError('M_PROFILE_TOO_LARGE', `A profile must not be larger than ${profileLimits.profileBytes} bytes`)
      }
      const profiles = new ProfilesWriter(tx)
      await profiles.set(userId, keyName, text)
      if (MEMBER_FIELDS.has(keyName)) await profiles.startPropagation(userId, this.#clock.now())
      return true
    })
    if (changed && MEMBER_FIELDS.has(keyName)) this.#onMemberFieldChanged(userId)
  }

  /** Removes a field; one that is not set is passed over. @throws MatrixError M_KEY_TOO_LARGE, M_INVALID_PARAM */
  async delete(userId: string, keyName: string): Promise<void> {
    checkKey(keyName)
    const changed = await this.#fenced.transaction(async (tx) => {
      const profiles = new ProfilesWriter(tx)
      const deleted = await profiles.delete(userId, keyName)
      if (deleted && MEMBER_FIELDS.has(keyName)) await profiles.startPropagation(userId, this.#clock.now())
      return deleted
    })
    if (changed && MEMBER_FIELDS.has(keyName)) this.#onMemberFieldChanged(userId)
  }
}

/** Bytes of the profile as compact JSON. */
function profileBytes(fields: readonly { readonly key_name: string; readonly value: string }[]): number {
  // Each field costs its quoted key, a colon and a comma; keys of the grammar need no escapes.
  return fields.reduce((bytes, field) => bytes + field.key_name.length + 4 + Buffer.byteLength(field.value), 1)
}

/** Spec: "Common Namespaced Identifier Grammar", and the keys that the specification itself defines. */
function checkKey(keyName: string): void {
  if (!fitsBytes(keyName, profileLimits.keyBytes)) {
    throw new MatrixError('M_KEY_TOO_LARGE', `A profile key must not be longer than ${profileLimits.keyBytes} bytes`)
  }
  const defined = MEMBER_FIELDS.has(keyName)
  if (!defined && !(isNamespacedId(keyName) && keyName.includes('.'))) throw new MatrixError('M_INVALID_PARAM', 'Invalid profile key')
}

function checkValue(keyName: string, value: JsonValue): void {
  switch (keyName) {
    case 'displayname':
      checkText(keyName, value, profileLimits.displayNameLength)
      break
    case 'avatar_url':
      checkText(keyName, value, profileLimits.avatarUrlLength)
      if (value !== '' && !isMxcUri(value as string)) throw new MatrixError('M_INVALID_PARAM', 'avatar_url must be an MXC URI')
      break
    case 'm.tz':
      checkText(keyName, value, profileLimits.keyBytes)
      break
  }
}

function checkText(keyName: string, value: JsonValue, maxLength: number): void {
  if (typeof value !== 'string') throw new MatrixError('M_BAD_JSON', `${keyName} must be a string`)
  if (value.length > maxLength) throw new MatrixError('M_INVALID_PARAM', `${keyName} must not be longer than ${maxLength} characters`)
}

function isMxcUri(text: string): boolean {
  const match = MXC_URI.exec(text)
  return match !== null && isServerName(match[1]!)
}
