import type { SyncReader } from '@weft/storage'
import { type SyncEngine, VIEW_SETTINGS } from './engine.ts'
import type { SyncObserver } from './metrics.ts'
import type { StreamClock } from './positions.ts'
import type { UserView } from './user-view.ts'

/** How long a view waits for the stream to come to what was read from the tables. */
const CATCH_UP_MS = 5000

/** Reads users' views, once for all requests that want the same. */
export class ViewLoader {
  readonly #engine: SyncEngine
  readonly #reader: SyncReader
  readonly #streams: StreamClock
  readonly #observer: SyncObserver
  readonly #loading = new Map<string, Promise<UserView>>()

  constructor(options: {
    readonly engine: SyncEngine
    readonly reader: SyncReader
    readonly streams: StreamClock
    readonly observer: SyncObserver
  }) {
    this.#engine = options.engine
    this.#reader = options.reader
    this.#streams = options.streams
    this.#observer = options.observer
  }

  load(userId: string): Promise<UserView> {
    const running = this.#loading.get(userId)
    if (running !== undefined) return running
    const loading = this.#read(userId).finally(() => this.#loading.delete(userId))
    this.#loading.set(userId, loading)
    return loading
  }

  /**
   * Reads as of a known position while the stream goes on: what arrives meanwhile is noted and applied on top, and where the tables
   * were ahead, the stream is waited for, so that the view never shows what its process has not come to.
   */
  async #read(userId: string): Promise<UserView> {
    const from = this.#streams.now()
    const arrivals = this.#engine.expectView(userId)
    try {
      const [rows, settings] = await Promise.all([
        this.#reader.userRooms(userId, from.events),
        this.#reader.globalAccountData(userId, VIEW_SETTINGS),
      ])
      const newest = rows.reduce((highest, row) => Math.max(highest, row.position), from.events)
      await this.#streams.waitFor('events', newest, CATCH_UP_MS)
      this.#observer.viewLoaded()
      return this.#engine.addView(userId, rows, settings, arrivals, this.#streams.now())
    } catch (err) {
      this.#engine.forgetExpected(userId, arrivals)
      throw err
    }
  }
}
