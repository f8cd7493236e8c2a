import type { IncomingHttpHeaders } from 'node:http'

/**
 * How far an attempt has come when it fails: `unsent` – no byte of the request left, any request may go elsewhere;
 * `sent` – the worker may have acted on it; `answering` – the client has seen the head of the answer.
 */
export type Stage = 'unsent' | 'sent' | 'answering'

/** What an attempt tells the request that it is made for. Exactly one of `failed`, `finished` and `refused` ends it. */
export interface AttemptListener {
  /**
   * The head of the answer, before anything of it goes to the client. Returns the headers for the client (names and
   * values alternating), or undefined when the attempt was refused and its answer is thrown away.
   */
  head(status: number, headers: IncomingHttpHeaders): string[] | undefined
  failed(error: Error, stage: Stage): void
  finished(): void
}

/** One try at one instance. */
export interface Attempt {
  /** Ends it as a failure at its present stage: the instance was given up. */
  abandon(reason: Error): void
  /** Ends it in silence, since the client left: nothing more is told to the listener. */
  cancel(): void
}

export class ClientLeft extends Error {
  constructor() {
    super('the client left')
    this.name = 'ClientLeft'
  }
}
