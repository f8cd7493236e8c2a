/** A place in a {@link RecencyList}; belongs to one list for good. */
export class RecencyNode<T> {
  readonly item: T
  position = 0
  newer: RecencyNode<T> | undefined
  older: RecencyNode<T> | undefined
  listed = false

  constructor(item: T) {
    this.item = item
  }
}

/**
 * Things in the order of their last position, newest first, so that "what changed after a position" costs as much as changed.
 * Positions never go down.
 */
export class RecencyList<T> {
  #newest: RecencyNode<T> | undefined

  /** The highest position there is; 0 when nothing was touched. */
  get newest(): number {
    return this.#newest?.position ?? 0
  }

  touch(node: RecencyNode<T>, position: number): void {
    if (position > node.position) node.position = position
    if (this.#newest === node) return
    this.remove(node)
    node.older = this.#newest
    if (this.#newest !== undefined) this.#newest.newer = node
    this.#newest = node
    node.listed = true
  }

  remove(node: RecencyNode<T>): void {
    if (!node.listed) return
    if (node.newer === undefined) this.#newest = node.older
    else node.newer.older = node.older
    if (node.older !== undefined) node.older.newer = node.newer
    node.newer = undefined
    node.older = undefined
    node.listed = false
  }

  /** All that was touched after `position`, newest first. */
  *after(position: number): Generator<T> {
    for (let node = this.#newest; node !== undefined && node.position > position; node = node.older) yield node.item
  }
}
