import { createHash } from 'node:crypto'
import { canonicalJson, compileFilter, type JsonObject, MatrixError } from '@weft/matrix'
import { FiltersReader, FiltersWriter, UsersWriter } from '@weft/storage'
import type { WriteStores } from './ports.ts'

/** What a user may keep (R26). A filter is never deleted: /sync may be asked to use it at any time. */
export const filterLimits = { count: 1_000, filterBytes: 64 << 10, bytes: 4 << 20 } as const

const FILTER_ID = /^\d{1,15}$/

/** Reads the filters that clients uploaded. */
export class FilterReads {
  readonly #filters: FiltersReader

  constructor(filters: FiltersReader) {
    this.#filters = filters
  }

  /** The filter as JSON text. @throws MatrixError M_NOT_FOUND */
  async get(userId: string, filterId: string): Promise<string> {
    const filter = FILTER_ID.test(filterId) ? await this.#filters.get(userId, Number(filterId)) : undefined
    if (filter === undefined) throw new MatrixError('M_NOT_FOUND', 'No such filter')
    return filter
  }
}

/** Keeps filters that clients define. Spec: client-server API, "Filtering". */
export class Filters {
  readonly #options: WriteStores
  readonly #reader: FiltersReader

  constructor(options: WriteStores) {
    this.#options = options
    this.#reader = new FiltersReader(options.db)
  }

  /**
   * Stores the filter, or finds it again. Its id does not begin with `{`, by which /sync tells it from an inline filter.
   * @throws MatrixError M_BAD_JSON for what is no filter; M_TOO_LARGE
   */
  async create(userId: string, filter: JsonObject): Promise<string> {
    compileFilter(filter)
    const text = canonicalJson(filter)
    if (Buffer.byteLength(text) > filterLimits.filterBytes) throw new MatrixError('M_TOO_LARGE', 'The filter is too large')
    const hash = createHash('sha256').update(text).digest()
    const known = await this.#reader.idByHash(userId, hash)
    if (known !== undefined) return String(known)
    return this.#options.fenced.transaction(async (tx) => {
      await new UsersWriter(tx).lock(userId)
      const rival = await new FiltersReader(tx).idByHash(userId, hash)
      if (rival !== undefined) return String(rival)
      const filters = new FiltersWriter(tx)
      const used = await filters.usage(userId)
      if (used.filters >= filterLimits.count || used.bytes + text.length > filterLimits.bytes) {
        throw new MatrixError('M_TOO_LARGE', 'Too many filters')
      }
      await filters.create(userId, used.last + 1, hash, text)
      return String(used.last + 1)
    })
  }
}
