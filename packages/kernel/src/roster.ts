/**
 * What is going on now: things that come and go by the thousand a second and are gone through as a whole only now and then.
 *
 * A Set of them costs memory beyond its size. It writes its table anew every few dozen changes, and a table that has reached the old
 * generation keeps alive, until a full collection, whatever it held when it was replaced: requests with their sockets' buffers.
 */
export class Roster<T extends object> {
  readonly #items: (T | undefined)[] = []
  readonly #free: number[] = []

  get size(): number {
    return this.#items.length - this.#free.length
  }

  /** @returns its place, to be given to {@link delete} once */
  add(item: T): number {
    const place = this.#free.pop() ?? this.#items.length
    this.#items[place] = item
    return place
  }

  delete(place: number): void {
    this.#items[place] = undefined
    this.#free.push(place)
  }

  /** In no order. Those that come and go meanwhile may be missed, as copies are what is gone through. */
  all(): T[] {
    return this.#items.filter((item) => item !== undefined)
  }
}
