import { ProfilesReader, ProfilesWriter, type Queryable } from '@weft/storage'
import type { FencedTransactions, Log } from './ports.ts'
import { type MemberProfile, ProfileReads } from './profiles.ts'

/** Puts a user's profile into the user's member event of a room; the rooms domain implements it. */
export interface MembershipRefresher {
  /** Does nothing where the event says so already, or the user is not joined (any more). */
  refreshMemberProfile(userId: string, roomNid: number, profile: MemberProfile): Promise<void>
}

/** The rooms that a changed profile is carried to. */
export interface JoinedRooms {
  /** In order of nid. */
  joinedRoomNids(userId: string, afterRoomNid: number, limit: number): Promise<number[]>
}

/** What {@link ProfilePropagation} stands on. */
export interface ProfilePropagationOptions {
  readonly db: Queryable
  readonly fenced: FencedTransactions
  readonly rooms: JoinedRooms
  readonly refresher: MembershipRefresher
  readonly log: Log
}

const USERS_A_PAGE = 100
const ROOMS_A_BATCH = 20

/**
 * Carries changed profiles to the rooms of their users, some rooms at a time. Where it stands is a row per user, so a
 * restart goes on from the last batch, and a change on the way starts over with the first room.
 */
export class ProfilePropagation {
  readonly #options: ProfilePropagationOptions
  readonly #profiles: ProfilesReader
  readonly #reads: ProfileReads

  constructor(options: ProfilePropagationOptions) {
    this.#options = options
    this.#profiles = new ProfilesReader(options.db)
    this.#reads = new ProfileReads(this.#profiles)
  }

  /**
   * Carries all pending changes to the end: one batch of each user in turn, so that many rooms of one hold up nobody.
   * @throws the signal's reason once it is aborted, between two batches
   */
  async run(signal?: AbortSignal): Promise<void> {
    let some = true
    while (some) {
      some = false
      let after = ''
      for (;;) {
        const page = await this.#profiles.pendingPropagations(after, USERS_A_PAGE)
        for (const row of page) {
          signal?.throwIfAborted()
          await this.#batch(row)
          some = true
        }
        if (page.length < USERS_A_PAGE) break
        after = page.at(-1)!.user_id
      }
    }
  }

  async #batch(row: { readonly user_id: string; readonly generation: number; readonly after_room_nid: number }): Promise<void> {
    const { rooms, refresher, fenced, log } = this.#options
    const userId = row.user_id
    const roomNids = await rooms.joinedRoomNids(userId, row.after_room_nid, ROOMS_A_BATCH)
    const profile = await this.#reads.memberProfile(userId)
    for (const roomNid of roomNids) {
      try {
        await refresher.refreshMemberProfile(userId, roomNid, profile)
      } catch (error) {
        // A room that does not take it (the user was banned meanwhile) must not keep it from the others.
        log.warn({ userId, roomNid, err: error }, 'a changed profile could not be put into a room')
      }
    }
    await fenced.transaction(async (tx) => {
      const writer = new ProfilesWriter(tx)
      if (roomNids.length < ROOMS_A_BATCH) await writer.finishPropagation(row)
      else await writer.advancePropagation(row, roomNids.at(-1)!)
    })
  }
}
