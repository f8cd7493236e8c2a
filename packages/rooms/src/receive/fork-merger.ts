import { MAX_PREV_EVENTS, parseUserId } from '@weft/matrix'
import type { RoomHead } from '../room-head.ts'
import type { LocalEventTools } from './local-event.ts'
import { DUMMY_EVENT, type Placing } from './placing.ts'

/** Above so many forward extremities a room's forks are tied together. */
const MAX_EXTREMITIES = 10

export interface ForkMergerOptions extends LocalEventTools {
  readonly serverName: string
  readonly now: () => number
}

/**
 * Ties forks together by events that nobody is shown, so that a room that many servers send to at once, or that somebody forks on
 * purpose, costs a resolution of a few states and not of hundreds.
 */
export class ForkMerger {
  readonly #o: ForkMergerOptions

  constructor(options: ForkMergerOptions) {
    this.#o = options
  }

  /** Merges until few are left, as far as users of this server may send such events. */
  async merge(head: RoomHead, placing: Placing): Promise<void> {
    while (placing.extremities.length > MAX_EXTREMITIES) {
      const before = placing.extremities.length
      await placing.settle()
      const sender = this.#sender(head)
      if (sender === undefined) return
      const draft = { type: DUMMY_EVENT, sender, content: {}, originServerTs: this.#o.now() }
      if ((await placing.placeLocal(draft, placing.extremities.slice(0, MAX_PREV_EVENTS), this.#o)).outcome !== 'accepted') return
      if (placing.extremities.length >= before) return
    }
  }

  /** A user of this server in the room whose level suffices. */
  #sender(head: RoomHead): string | undefined {
    const levels = head.powerLevels
    if (levels === undefined) return undefined
    const needed = levels.eventLevel(DUMMY_EVENT, false)
    for (const [type, userId] of head.entries()) {
      if (type !== 'm.room.member' || parseUserId(userId)?.serverName !== this.#o.serverName) continue
      if (head.membership(userId) === 'join' && levels.userLevel(userId) >= needed) return userId
    }
    return undefined
  }
}
