import { type HistoryVisibility, isEventVisible, readHistoryVisibility } from '@weft/matrix'
import type { ClientEventRow } from './events.ts'
import type { StateReader } from './state.ts'

/** What held from a position on. */
interface Since<T> {
  readonly position: number
  readonly value: T
}

/**
 * What one user may see of one room, at any position of its timeline: the room's history visibility and the user's membership
 * as the current state had them there. Every endpoint asks the same question here (the one rule).
 *
 * NOTSPEC: "the state at the event" is the current state at the event's position in this server's timeline, which is the same
 * wherever the timeline is linear, as in rooms of this server's users alone.
 */
export class RoomView {
  readonly userId: string
  readonly #visibility: readonly Since<HistoryVisibility>[]
  readonly #membership: readonly Since<string>[]

  private constructor(userId: string, visibility: readonly Since<HistoryVisibility>[], membership: readonly Since<string>[]) {
    this.userId = userId
    this.#visibility = visibility
    this.#membership = membership
  }

  /** Reads both, as far as the current state reaches now. */
  static async load(state: StateReader, roomNid: number, userId: string): Promise<RoomView> {
    const visibility: Since<HistoryVisibility>[] = []
    const membership: Since<string>[] = []
    for (const { type, position, value } of await state.viewHistory(roomNid, userId)) {
      if (type === 'm.room.member') membership.push({ position, value: value ?? 'leave' })
      else visibility.push({ position, value: readHistoryVisibility(value === undefined ? undefined : { history_visibility: value }) })
    }
    return new RoomView(userId, visibility, membership)
  }

  /** The user's membership at the end of what was loaded; `undefined` when the user never had one. */
  get membership(): string | undefined {
    return this.#membership.at(-1)?.value
  }

  /** The room's history visibility now. */
  get visibility(): HistoryVisibility {
    return this.#visibility.at(-1)?.value ?? 'shared'
  }

  /** The membership after the event at a position. */
  membershipAt(position: number): string | undefined {
    return at(this.#membership, position)
  }

  /** The position from which on the user is out of the room, if once joined and out: a ban after a kick does not move it. */
  get leftAt(): number | undefined {
    if (this.membership !== 'leave' && this.membership !== 'ban') return undefined
    const lastJoin = this.#membership.findLastIndex((since) => since.value === 'join')
    return lastJoin < 0 ? undefined : this.#membership[lastJoin + 1]?.position
  }

  /** Whether the user may see the event. Spec: client-server API, "Room History Visibility". */
  sees(event: Pick<ClientEventRow, 'streamOrdering' | 'type' | 'stateKey'>): boolean {
    const position = event.streamOrdering
    if (position === undefined) return false
    return isEventVisible({
      type: event.type,
      stateKey: event.stateKey,
      userId: this.userId,
      visibilityBefore: at(this.#visibility, position - 1) ?? 'shared',
      visibilityAfter: at(this.#visibility, position) ?? 'shared',
      membershipBefore: at(this.#membership, position - 1),
      membershipAfter: at(this.#membership, position),
      joinedSince: this.#joinedSince(position),
    })
  }

  #joinedSince(position: number): boolean {
    for (let i = this.#membership.length - 1; i >= 0; i--) {
      const entry = this.#membership[i] as Since<string>
      if (entry.value === 'join') return true
      if (entry.position <= position) return false
    }
    return false
  }
}

/** The value in force at a position, the change at it included. */
function at<T>(changes: readonly Since<T>[], position: number): T | undefined {
  let low = 0
  let high = changes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((changes[middle] as Since<T>).position <= position) low = middle + 1
    else high = middle
  }
  return changes[low - 1]?.value
}
