import { type ISyncResponse, MemoryStore, SyncAccumulator } from 'matrix-js-sdk'
import type { ISavedSync } from 'matrix-js-sdk/lib/store/index.js'

/** What outlives a client: the text that an application would write to its disk. */
export class Disk {
  saved: string | undefined
}

/** A store that keeps what sync brought on a disk, as matrix-js-sdk's IndexedDBStore does in a browser. */
export class DiskStore extends MemoryStore {
  readonly #disk: Disk
  readonly #accumulator = new SyncAccumulator()

  constructor(disk: Disk) {
    super()
    this.#disk = disk
    const saved = this.#saved()
    if (saved === undefined) return
    const { nextBatch, roomsData, accountData } = saved
    this.#accumulator.accumulate({ next_batch: nextBatch, rooms: roomsData, account_data: { events: accountData } }, true)
  }

  override setSyncData(data: ISyncResponse): Promise<void> {
    this.#accumulator.accumulate(data)
    this.#disk.saved = JSON.stringify(this.#accumulator.getJSON(true))
    return Promise.resolve()
  }

  override getSavedSync(): Promise<ISavedSync | null> {
    return Promise.resolve(this.#saved() ?? null)
  }

  override getSavedSyncToken(): Promise<string | null> {
    return Promise.resolve(this.#saved()?.nextBatch ?? null)
  }

  #saved(): ISavedSync | undefined {
    return this.#disk.saved === undefined ? undefined : (JSON.parse(this.#disk.saved) as ISavedSync)
  }
}
