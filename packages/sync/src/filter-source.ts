import { compileFilter, MatrixError, parseJson, type SyncFilter } from '@weft/matrix'
import { LRUCache } from 'lru-cache'

/** Where stored filters are read from. */
export interface StoredFilters {
  /** The filter as JSON text. */
  get(userId: string, filterId: number): Promise<string | undefined>
}

/** Bytes of filters kept compiled: some 15,000 ordinary ones. */
const MAX_BYTES = 32 * 1024 * 1024
/** About what a compiled filter occupies: measured on lists of short names, a byte of JSON becomes a dozen of sets and patterns. */
const FIXED_BYTES = 1000
const BYTES_FOR_EACH = 12

/**
 * The filters of /sync requests, compiled once and kept while they are in use. Stored filters never change, so memory serves them for
 * good; the text of an inline one is its own key.
 */
export class FilterSource {
  readonly #stored: StoredFilters
  /** By text, which begins with `{`, or by user and id, which begin with `[`. */
  readonly #compiled: LRUCache<string, SyncFilter>
  readonly #everything = compileFilter({})

  /** @param maxBytes of compiled filters in memory; those least recently used are compiled again */
  constructor(stored: StoredFilters, maxBytes = MAX_BYTES) {
    this.#stored = stored
    this.#compiled = new LRUCache({ maxSize: maxBytes })
  }

  /**
   * The filter that the `filter` parameter means: JSON, the id of a stored filter, or all events when absent.
   * Spec: sync.yaml, `filter`.
   * @throws MatrixError M_NOT_JSON or M_BAD_JSON for an inline filter, M_INVALID_PARAM for an unknown id
   */
  find(userId: string, parameter: string | undefined): SyncFilter | Promise<SyncFilter> {
    if (parameter === undefined || parameter === '') return this.#everything
    if (parameter.startsWith('{')) return this.#inline(parameter)
    const key = JSON.stringify([userId, parameter])
    return this.#compiled.get(key) ?? this.#read(userId, parameter, key)
  }

  #inline(text: string): SyncFilter {
    return this.#compiled.get(text) ?? this.#compile(text, text)
  }

  async #read(userId: string, parameter: string, key: string): Promise<SyncFilter> {
    const text = /^\d{1,15}$/.test(parameter) ? await this.#stored.get(userId, Number(parameter)) : undefined
    if (text === undefined) throw new MatrixError('M_INVALID_PARAM', 'No such filter', { status: 400 })
    return this.#compile(key, text)
  }

  #compile(key: string, text: string): SyncFilter {
    const filter = compileFilter(parseJson(text))
    this.#compiled.set(key, filter, { size: FIXED_BYTES + BYTES_FOR_EACH * text.length })
    return filter
  }
}
