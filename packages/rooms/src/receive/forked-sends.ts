import { MAX_PREV_EVENTS } from '@weft/matrix'
import type { EventGraphReader } from '@weft/storage'
import { refusal } from '../append-event.ts'
import type { CommitLoop } from '../commit-loop.ts'
import type { Decision } from '../event-writer.ts'
import { NotPrepared } from '../first-format.ts'
import type { HeadCache } from '../head-cache.ts'
import type { RoomHead } from '../room-head.ts'
import { EventIndex } from './event-index.ts'
import { withGate } from './gate.ts'
import type { LocalEventTools } from './local-event.ts'
import { Placing, type PlacingTools } from './placing.ts'
import { Turns } from './turns.ts'

export interface ForkedSendsOptions extends PlacingTools, LocalEventTools {
  readonly heads: HeadCache
  readonly loop: CommitLoop
  readonly graph: EventGraphReader
}

/**
 * Sends by users of this server in rooms with more forks than an event can name, and nobody here who may tie them together. Rare,
 * so it takes the way of received events: built on the newest forks, by their state.
 */
export class ForkedSends {
  readonly #o: ForkedSendsOptions

  constructor(options: ForkedSendsOptions) {
    this.#o = options
  }

  /**
   * Sends one event.
   * @throws MatrixError as sends do; NotPrepared where the head went stale; NotCommitted; ResolutionExceeded
   */
  async send(head: RoomHead, decide: (head: RoomHead) => Decision, alone: boolean): Promise<string> {
    const { heads, loop, graph } = this.#o
    const sent = await withGate(head, heads, async (gate) => {
      if (head.stale) throw new NotPrepared('the head went stale')
      const decision = decide(head)
      if ('existing' in decision) return { eventId: decision.existing, committed: undefined }
      await gate.quiet()
      const index = new EventIndex(graph, head)
      const newest = [...head.extremities].sort((a, b) => b.depth - a.depth).slice(0, MAX_PREV_EVENTS)
      await index.look([...newest.map(({ eventId }) => eventId), ...(decision.redacts === undefined ? [] : [decision.redacts.eventId])])
      const placing = new Placing({ tools: this.#o, gate, index, early: new Map(), turns: new Turns() })
      try {
        const { outcome, verdict, eventId } = await placing.placeLocal(decision, newest, this.#o)
        if (!verdict.ok || outcome !== 'accepted') throw verdict.ok ? new Error(`a new event was ${outcome}`) : refusal(verdict)
        const placed = await placing.finish()
        const txn = decision.txn && { ...decision.txn, eventNid: placing.nidOf(eventId) }
        return { eventId, committed: loop.commit({ head, events: [], placed, alone, txn }) }
      } catch (error) {
        heads.drop(head)
        throw error
      }
    })
    await sent.committed
    return sent.eventId
  }
}
