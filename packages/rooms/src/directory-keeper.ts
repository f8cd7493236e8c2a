import { canonicalJson, roomVersions } from '@weft/matrix'
import { contentOf, type DirectoryRow, type Queryable, type RoomDirectoryReader, roomDirectoryWriter } from '@weft/storage'
import { DIRECTORY_TYPES, directoryEntry } from './directory-entry.ts'

/** What the keeper of the room directory stands on. */
export interface DirectoryKeeperOptions {
  readonly directory: RoomDirectoryReader
  /** Runs a statement in a transaction that this writer's epoch fences. */
  readonly db: Queryable
  readonly clock: { now(): number; setTimeout(fn: () => void, ms: number): { cancel(): void } }
  readonly log: { warn(fields: object, message: string): void }
}

/** Changes gather for so long before entries are made anew. */
const GATHER_MS = 500
/** Rooms with changes that are remembered; beyond it the sweep finds them. */
const MAX_NOTED = 5000
const AT_A_TIME = 50
const MAX_STALE = 1000
/** Entries that a sweep makes anew though nothing says that they are stale. */
const OLDEST = 50

/**
 * Keeps the entries of the room directory. They follow the rooms' state behind the writes: no send waits for them. What was noted
 * and lost with the process, the next sweep finds.
 */
export class DirectoryKeeper {
  readonly #options: DirectoryKeeperOptions
  #noted = new Set<number>()
  #timer: { cancel(): void } | undefined
  #running: Promise<void> = Promise.resolve()
  #cancelled = false

  constructor(options: DirectoryKeeperOptions) {
    this.#options = options
  }

  /** The room's state has changed, perhaps in what the directory says of it. */
  note(roomNid: number): void {
    if (this.#cancelled) return
    if (this.#noted.size < MAX_NOTED) this.#noted.add(roomNid)
    this.#timer ??= this.#options.clock.setTimeout(() => {
      this.#timer = undefined
      const rooms = [...this.#noted]
      this.#noted = new Set()
      this.refresh(rooms).catch((err) => this.#options.log.warn({ err }, 'the room directory waits for its next sweep'))
    }, GATHER_MS)
  }

  /** Makes the entries of these rooms anew, those of them that are published; one run at a time. */
  refresh(roomNids: readonly number[]): Promise<void> {
    const run = this.#running.then(() => this.#refresh(roomNids))
    this.#running = run.catch(() => undefined)
    return run
  }

  /**
   * Makes entries anew that are behind their rooms' state, and the oldest ones. @returns how many were behind
   * @param signal ends it between two batches
   */
  async sweep(signal: AbortSignal): Promise<number> {
    const { directory } = this.#options
    const stale = await directory.stale([...DIRECTORY_TYPES, 'm.room.member'], MAX_STALE)
    for (const rooms of [stale, await directory.oldest(OLDEST)]) {
      for (let at = 0; at < rooms.length; at += AT_A_TIME) {
        signal.throwIfAborted()
        await this.refresh(rooms.slice(at, at + AT_A_TIME))
      }
    }
    return stale.length
  }

  /** Makes no more entries for what was noted; resolves when nothing is being written. */
  async stop(): Promise<void> {
    this.cancel()
    await this.#running
  }

  /** Makes no more entries for what was noted, nor for what still comes. */
  cancel(): void {
    this.#cancelled = true
    this.#timer?.cancel()
  }

  async #refresh(roomNids: readonly number[]): Promise<void> {
    const { directory, db, clock } = this.#options
    const published = await directory.publishedOf(roomNids)
    for (let at = 0; at < published.length; at += AT_A_TIME) {
      const rows = await this.#rows(published.slice(at, at + AT_A_TIME))
      if (rows.length === 0) continue
      const { sql, values } = roomDirectoryWriter.update(rows, clock.now())
      await db.execute(sql, values)
    }
  }

  async #rows(roomNids: readonly number[]): Promise<DirectoryRow[]> {
    const { directory } = this.#options
    const facts = await directory.facts(roomNids)
    const state = new Map(facts.map(({ roomNid }) => [roomNid, new Map<string, { json: string; redacted: boolean }>()]))
    for (const { roomNid, type, ...event } of await directory.state(roomNids, DIRECTORY_TYPES)) state.get(roomNid)?.set(type, event)
    return facts.flatMap(({ roomNid, roomId, roomVersion, joinedMembers, streamId }) => {
      const version = roomVersions.get(roomVersion)
      if (version === undefined) return []
      const { entry, roomType, search } = directoryEntry({ roomId, joinedMembers }, (type) => {
        const event = state.get(roomNid)?.get(type)
        return event && contentOf({ type, json: event.json }, version, event.redacted)
      })
      return [{ roomNid, joinedMembers, streamId, roomType, search, entry: canonicalJson(entry) }]
    })
  }
}
