import { StateMap } from '@weft/matrix'
import type { StateReader } from '@weft/storage'
import type { IdSource } from './ids.ts'

/** A key that the next commit has to write. */
export interface NewStateKey {
  readonly nid: number
  readonly type: string
  readonly stateKey: string
}

/**
 * Numbers for (type, state key), so that state groups are small. A bounded part of the dictionary is kept in memory. Only the
 * active writer adds to it, so what the table lacks is new; a new key's number is kept from the moment it is given out, and
 * written with the first commit that uses it.
 */
export class StateKeys {
  readonly #reader: StateReader
  readonly #ids: IdSource
  readonly #max: number
  #known = new StateMap<number>()
  #count = 0
  /** Given out and not known to be committed. */
  readonly #unwritten = new StateMap<number>()

  /** @param max how many keys to keep in memory (about 150 bytes each) */
  constructor(reader: StateReader, ids: IdSource, max = 200_000) {
    this.#reader = reader
    this.#ids = ids
    this.#max = max
  }

  /** The number of a key if memory has it. */
  known(type: string, stateKey: string): number | undefined {
    return this.#unwritten.get(type, stateKey) ?? this.#known.get(type, stateKey)
  }

  /** Makes {@link known} answer for those of these keys that have a number. A key without one is in no state. */
  async find(keys: ReadonlyArray<readonly [type: string, stateKey: string]>): Promise<void> {
    const missing = keys.filter(([type, stateKey]) => this.known(type, stateKey) === undefined)
    if (missing.length === 0) return
    for (const { nid, type, stateKey } of await this.#reader.nidsByKeys(missing)) this.#keep(type, stateKey, nid)
  }

  /** Makes {@link known} answer for these keys: reads what memory lacks, in one statement, and numbers what is new. */
  async prepare(keys: ReadonlyArray<readonly [type: string, stateKey: string]>): Promise<void> {
    const missing = keys.filter(([type, stateKey]) => this.known(type, stateKey) === undefined)
    if (missing.length === 0) return
    const found = await this.#reader.nidsByKeys(missing)
    for (const { nid, type, stateKey } of found) this.#keep(type, stateKey, nid)
    const fresh = missing.filter(([type, stateKey]) => this.known(type, stateKey) === undefined)
    if (fresh.length === 0) return
    const nids = await this.#ids.take(fresh.length)
    fresh.forEach(([type, stateKey], i) => {
      // Another request may have numbered the key while this one waited for ids.
      if (this.known(type, stateKey) === undefined) this.#unwritten.set(type, stateKey, nids[i] as number)
    })
  }

  /** Whether the key's row is still to be written. */
  isUnwritten(type: string, stateKey: string): boolean {
    return this.#unwritten.has(type, stateKey)
  }

  /** Tells that these rows are committed. */
  written(keys: readonly NewStateKey[]): void {
    for (const { nid, type, stateKey } of keys) {
      this.#unwritten.delete(type, stateKey)
      this.#keep(type, stateKey, nid)
    }
  }

  #keep(type: string, stateKey: string, nid: number): void {
    if (this.#count >= this.#max) {
      // Rare, and refilled by one statement per batch of keys: starting over is simpler than an order of use per key.
      this.#known = new StateMap()
      this.#count = 0
    }
    if (!this.#known.has(type, stateKey)) this.#count++
    this.#known.set(type, stateKey, nid)
  }
}
