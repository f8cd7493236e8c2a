import type { ServerResponse } from 'node:http'

/** In characters. What is shorter is not counted: the bound on requests in flight bounds that, too. */
const COUNTED_FROM = 16 * 1024

/**
 * The answers whose clients have not read them yet, which stay in memory until then. Bounded: beyond it the connections are closed whose
 * answers have waited longest, so that clients that read slowly or not at all cannot fill it.
 */
export class UnreadAnswers {
  readonly #limit: number
  /** The oldest first. */
  readonly #lengths = new Map<ServerResponse, number>()
  #held = 0

  /** @param limit in characters of text */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Counts an answer until it is out, or its connection is gone. One that is larger than all may be is let out all the same. */
  add(response: ServerResponse, length: number): void {
    if (length < COUNTED_FROM || response.destroyed) return
    this.#lengths.set(response, length)
    this.#held += length
    response.once('close', () => this.#forget(response))
    for (const oldest of this.#lengths.keys()) {
      if (this.#held <= this.#limit || oldest === response) return
      this.#forget(oldest)
      oldest.destroy()
    }
  }

  #forget(response: ServerResponse): void {
    this.#held -= this.#lengths.get(response) ?? 0
    this.#lengths.delete(response)
  }
}
