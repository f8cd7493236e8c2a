import { type Queryable, sql, type Tx } from './sql.ts'

/** A field of a profile: `value` is JSON text. */
export type ProfileFieldRow = { readonly key_name: string; readonly value: string }

/** A changed profile on its way to the user's rooms. */
export type PropagationRow = { readonly user_id: string; readonly generation: number; readonly after_room_nid: number }

const list = sql<ProfileFieldRow>('profiles.list', 'SELECT key_name, value FROM profile_fields WHERE user_id = $1 ORDER BY key_name')
const get = sql<{ value: string }>('profiles.get', 'SELECT value FROM profile_fields WHERE user_id = $1 AND key_name = $2')
const upsert = sql(
  'profiles.upsert',
  `INSERT INTO profile_fields (user_id, key_name, value) VALUES ($1, $2, $3)
   ON CONFLICT (user_id, key_name) DO UPDATE SET value = EXCLUDED.value`,
)
const remove = sql<{ key_name: string }>(
  'profiles.remove',
  'DELETE FROM profile_fields WHERE user_id = $1 AND key_name = $2 RETURNING key_name',
)
const propagate = sql(
  'profiles.propagate',
  `INSERT INTO profile_propagations (user_id, generation) VALUES ($1, $2)
   ON CONFLICT (user_id) DO UPDATE
     SET generation = greatest(profile_propagations.generation + 1, EXCLUDED.generation), after_room_nid = 0`,
)
const pending = sql<PropagationRow>(
  'profiles.pending',
  'SELECT user_id, generation, after_room_nid FROM profile_propagations WHERE user_id > $1 ORDER BY user_id LIMIT $2',
)
const advance = sql<{ user_id: string }>(
  'profiles.advance',
  'UPDATE profile_propagations SET after_room_nid = $3 WHERE user_id = $1 AND generation = $2 RETURNING user_id',
)
const finish = sql<{ user_id: string }>(
  'profiles.finish',
  'DELETE FROM profile_propagations WHERE user_id = $1 AND generation = $2 RETURNING user_id',
)

/** Reads profiles and the propagations of changed ones. */
export class ProfilesReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** All fields by their names; empty for a user who set none or does not exist. */
  async list(userId: string): Promise<ProfileFieldRow[]> {
    return this.#db.query(list, [userId])
  }

  /** A field's value as JSON text. */
  async get(userId: string, keyName: string): Promise<string | undefined> {
    return (await this.#db.query(get, [userId, keyName]))[0]?.value
  }

  /** Propagations not yet finished, after the given user id, by user id. */
  async pendingPropagations(afterUserId: string, limit: number): Promise<PropagationRow[]> {
    return this.#db.query(pending, [afterUserId, limit])
  }
}

/** Writes profile fields, and keeps where their propagation stands. */
export class ProfilesWriter {
  readonly #tx: Tx

  constructor(tx: Tx) {
    this.#tx = tx
  }

  /** @param valueJson the value as JSON text */
  async set(userId: string, keyName: string, valueJson: string): Promise<void> {
    await this.#tx.query(upsert, [userId, keyName, valueJson])
  }

  /** @returns false when the field was not set */
  async delete(userId: string, keyName: string): Promise<boolean> {
    return (await this.#tx.query(remove, [userId, keyName])).length === 1
  }

  /** Asks for the profile to be carried to all rooms of the user, from the first room again if that is under way. */
  async startPropagation(userId: string, nowMs: number): Promise<void> {
    // The generation is the time, so that one that was finished and deleted does not come back.
    await this.#tx.query(propagate, [userId, nowMs])
  }

  /** @returns false when the profile changed since: the propagation starts over */
  async advancePropagation(row: PropagationRow, afterRoomNid: number): Promise<boolean> {
    return (await this.#tx.query(advance, [row.user_id, row.generation, afterRoomNid])).length === 1
  }

  /** @returns false when the profile changed since: the propagation starts over */
  async finishPropagation(row: PropagationRow): Promise<boolean> {
    return (await this.#tx.query(finish, [row.user_id, row.generation])).length === 1
  }
}
