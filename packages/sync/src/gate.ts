/** Lets at most so many in at a time; the others wait in line. */
export class Gate {
  readonly #waiting: Array<() => void> = []
  #free: number

  constructor(places: number) {
    this.#free = places
  }

  get queued(): number {
    return this.#waiting.length
  }

  /**
   * @param isWanted asked when its turn has come: what nobody waits for any more is not done
   * @throws DOMException AbortError where it was not wanted
   */
  async run<T>(work: () => Promise<T>, isWanted: () => boolean): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      if (!isWanted()) throw new DOMException('Nobody waits for it any more', 'AbortError')
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
