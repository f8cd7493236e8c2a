/** Too much waits for a room already: whoever brought more is asked to come back. */
export class ReceiveQueueFull extends Error {
  override readonly name = 'ReceiveQueueFull'
}

/** A queue for each room: what is received is worked on in its order, and no room waits for another. */
export class RoomQueues {
  readonly #maxOfRoom: number
  readonly #max: number
  readonly #queues = new Map<string, { tail: Promise<unknown>; size: number }>()
  #size = 0

  /**
   * @param maxOfRoom events that may wait for one room
   * @param max and for all together
   */
  constructor(maxOfRoom: number, max: number) {
    this.#maxOfRoom = maxOfRoom
    this.#max = max
  }

  /** Events that wait or are worked on. */
  get size(): number {
    return this.#size
  }

  /** Runs the work after all that came before it for the room. @throws ReceiveQueueFull at once */
  run<T>(roomId: string, events: number, work: () => Promise<T>): Promise<T> {
    let queue = this.#queues.get(roomId)
    if ((queue?.size ?? 0) + events > this.#maxOfRoom && queue !== undefined) throw new ReceiveQueueFull(`too much waits for ${roomId}`)
    if (this.#size + events > this.#max && this.#size > 0) throw new ReceiveQueueFull('too much waits to be received')
    if (queue === undefined) {
      queue = { tail: Promise.resolve(), size: 0 }
      this.#queues.set(roomId, queue)
    }
    const mine = queue
    mine.size += events
    this.#size += events
    const done = mine.tail.then(work).finally(() => {
      mine.size -= events
      this.#size -= events
      if (mine.size === 0 && mine.tail === settled) this.#queues.delete(roomId)
    })
    const settled: Promise<unknown> = done.catch(() => undefined)
    mine.tail = settled
    return done
  }
}
