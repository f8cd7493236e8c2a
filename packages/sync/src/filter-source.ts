import { compileFilter, MatrixError, parseJson, type SyncFilter } from '@weft/matrix'

/** Where stored filters are read from. */
export interface StoredFilters {
  /** The filter as JSON text. */
  get(userId: string, filterId: number): Promise<string | undefined>
}

/** Filters kept compiled; a filter of 10,000 entries is about a megabyte, an ordinary one a kilobyte. */
const MAX_KEPT = 2000
const MAX_KEPT_TEXT = 64 * 1024

/**
 * The filters of /sync requests, compiled once. Stored filters never change, so memory serves them for good; the text of an
 * inline one is its own key.
 */
export class FilterSource {
  readonly #stored: StoredFilters
  readonly #byText = new Map<string, SyncFilter>()
  readonly #byId = new Map<string, Map<string, SyncFilter>>()
  readonly #everything = compileFilter({})

  constructor(stored: StoredFilters) {
    this.#stored = stored
  }

  /**
   * The filter that the `filter` parameter means: JSON, the id of a stored filter, or all events when absent.
   * Spec: sync.yaml, `filter`.
   * @throws MatrixError M_NOT_JSON or M_BAD_JSON for an inline filter, M_INVALID_PARAM for an unknown id
   */
  find(userId: string, parameter: string | undefined): SyncFilter | Promise<SyncFilter> {
    if (parameter === undefined || parameter === '') return this.#everything
    if (parameter.startsWith('{')) return this.#inline(parameter)
    const known = this.#byId.get(userId)?.get(parameter)
    return known ?? this.#read(userId, parameter)
  }

  #inline(text: string): SyncFilter {
    const known = this.#byText.get(text)
    if (known !== undefined) return known
    const filter = compileFilter(parseJson(text))
    if (text.length <= MAX_KEPT_TEXT) {
      if (this.#byText.size >= MAX_KEPT) this.#byText.delete(this.#byText.keys().next().value as string)
      this.#byText.set(text, filter)
    }
    return filter
  }

  async #read(userId: string, parameter: string): Promise<SyncFilter> {
    const text = /^\d{1,15}$/.test(parameter) ? await this.#stored.get(userId, Number(parameter)) : undefined
    if (text === undefined) throw new MatrixError('M_INVALID_PARAM', 'No such filter', { status: 400 })
    const filter = compileFilter(parseJson(text))
    let ofUser = this.#byId.get(userId)
    if (ofUser === undefined) {
      if (this.#byId.size >= MAX_KEPT) this.#byId.delete(this.#byId.keys().next().value as string)
      ofUser = new Map()
      this.#byId.set(userId, ofUser)
    }
    if (ofUser.size >= 20) ofUser.delete(ofUser.keys().next().value as string)
    ofUser.set(parameter, filter)
    return filter
  }
}
