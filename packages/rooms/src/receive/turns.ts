import { setImmediate as turn } from 'node:timers/promises'

/** How long work goes on before others on the event loop get their turn. */
const TURN_MS = 4

/** Cuts long work into turns: a batch of events must not hold up the requests of other rooms. */
export class Turns {
  #since = performance.now()

  /** Gives way where the turn is over. */
  async rest(): Promise<void> {
    if (performance.now() - this.#since < TURN_MS) return
    await turn()
    this.#since = performance.now()
  }
}
