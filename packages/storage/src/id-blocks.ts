import { type Queryable, type Sql, sql } from './sql.ts'

/**
 * Hands out ids of a sequence that steps by a block: one nextval serves a whole block, and the next block is fetched
 * while half of the last is still there, so that the hot path neither waits nor asks. Ids of a block that a process
 * did not use are lost; nothing needs them to be dense.
 */
export class IdBlocks {
  readonly #db: Queryable
  readonly #block: number
  readonly #nextval: Sql<{ first: number }>
  readonly #sequence: string
  /** Ranges `[next, end)` not yet handed out, oldest first. */
  readonly #ranges: { next: number; end: number }[] = []
  #left = 0
  #fetching: Promise<void> | undefined

  /** @param block the sequence's INCREMENT BY */
  constructor(db: Queryable, sequence: string, block: number) {
    this.#db = db
    this.#sequence = sequence
    this.#block = block
    this.#nextval = sql(`ids.${sequence}`, 'SELECT nextval($1::regclass) AS first FROM generate_series(1, $2::int)')
  }

  /** `n` ids, ascending, where they are at hand; else undefined, and `take` waits for them. */
  tryTake(n: number): number[] | undefined {
    if (this.#left < n) return undefined
    const ids: number[] = []
    while (ids.length < n) {
      const range = this.#ranges[0]!
      while (ids.length < n && range.next < range.end) ids.push(range.next++)
      if (range.next === range.end) this.#ranges.shift()
    }
    this.#left -= n
    if (this.#left * 2 < this.#block) this.#refillAhead()
    return ids
  }

  /**
   * `n` ids, ascending; synchronous in effect where a block is at hand.
   * @throws ConnectionLost where a block has to be fetched and PostgreSQL is away
   */
  async take(n: number): Promise<number[]> {
    for (;;) {
      const ids = this.tryTake(n)
      if (ids !== undefined) return ids
      await this.#fetch(n - this.#left)
    }
  }

  /** Fetches the first block, so that the first `tryTake` finds one. */
  async fill(): Promise<void> {
    if (this.#left === 0) await this.#fetch(this.#block)
  }

  #refillAhead(): void {
    // The failure is not lost: the next take meets the same one when it fetches itself.
    this.#fetch(this.#block).catch(() => {})
  }

  async #fetch(missing: number): Promise<void> {
    this.#fetching ??= this.#load(Math.max(1, Math.ceil(missing / this.#block))).finally(() => {
      this.#fetching = undefined
    })
    await this.#fetching
  }

  async #load(blocks: number): Promise<void> {
    for (const { first } of await this.#db.query(this.#nextval, [this.#sequence, blocks])) {
      this.#ranges.push({ next: first, end: first + this.#block })
      this.#left += this.#block
    }
  }
}
