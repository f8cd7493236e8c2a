/**
 * Runs work of one key after another, of different keys at once. Whoever rewrites a row with a new stream position needs it:
 * positions are reserved before the transaction, and a rival that reserved later may commit first, which would leave the older
 * position, and the older content, in the table. There is one writer, so its memory is the place to queue.
 */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>()

  /** @param work must not run on the same key inside */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key)
    const mine = before === undefined ? work() : before.then(work, work)
    this.#tails.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key)
    }
  }
}
