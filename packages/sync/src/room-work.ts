import type { SyncFilter } from '@weft/matrix'
import type { Positions } from './positions.ts'
import type { Receipt, RoomFeed, RoomSummary } from './room-feed.ts'
import type { Sight } from './rules.ts'
import type { Delta } from './state-deltas.ts'
import type { TimelineEvent } from './timeline-event.ts'

export type Section = 'join' | 'invite' | 'knock' | 'leave'

/** What one answer is made for. */
export interface SyncScope {
  readonly userId: string
  readonly deviceId: string | undefined
  /** Undefined for an initial sync. */
  readonly since: Positions | undefined
  /** The position that the client has shown to have by its token; lower than `since` once a waiting request found nothing. */
  readonly held: number
  readonly now: Positions
  /** When it is answered, in ms since 1970. */
  readonly ts: number
  readonly filter: SyncFilter
  readonly fullState: boolean
  readonly stateAfter: boolean
  readonly ignored: ReadonlySet<string>
  /** Invites are not to be shown. */
  readonly blocksInvites: boolean
}

/**
 * One room on its way through an answer. The skeleton says which stretch of the room is wanted, hydrating loads it, the rules take
 * away what the user must not or does not want to see, and a presenter writes it down.
 */
export interface RoomWork {
  readonly roomNid: number
  readonly roomId: string
  readonly section: Section
  /** Where the room's latest events are in memory. */
  readonly feed: RoomFeed | undefined
  /** The timeline is (`since`, `until`]. */
  readonly since: number
  readonly until: number
  /** The whole state instead of what changed. */
  readonly full: boolean
  /** The client has not had the room, or has left it in between. */
  readonly newlyJoined: boolean
  /** Some of the stretch may lie before the user joined, or between two memberships. */
  readonly partlyHidden: boolean
  /** The member event that put the room into this section. */
  readonly memberNid: number | undefined
  /** Position of that event. */
  readonly memberPosition: number
  /** The user was never in: of the room only the member event itself is shown. */
  readonly memberOnly: boolean
  /** Receipts after this position are wanted; `undefined` for none. */
  readonly receiptsSince: number | undefined
  readonly typing: { readonly userIds: readonly string[] } | undefined
  /** All of the user's account data in the room, not only what changed. */
  readonly allAccountData: boolean

  timeline: TimelineEvent[]
  limited: boolean
  /** Changes of the room's current state, oldest first, from the start of the timeline (or from `since`) on. */
  deltas: readonly Delta[]
  state: TimelineEvent[]
  summary: RoomSummary | undefined
  receipts: readonly Receipt[]
  accountData: Array<{ readonly type: string; readonly content: string }>
  /** What the reader may see of the room; absent where that is everything in the stretch. */
  sees: Sight | undefined
  /** What relates to the timeline's events, as JSON text by event id. */
  relations: ReadonlyMap<string, string>
}

const NONE: ReadonlyMap<string, string> = new Map()

export function roomWork(
  facts: Pick<RoomWork, 'roomNid' | 'roomId' | 'section' | 'feed' | 'since' | 'until'> & Partial<RoomWork>,
): RoomWork {
  return {
    full: false,
    newlyJoined: false,
    partlyHidden: false,
    memberNid: undefined,
    memberPosition: 0,
    memberOnly: false,
    receiptsSince: undefined,
    typing: undefined,
    allAccountData: false,
    timeline: [],
    limited: false,
    deltas: [],
    state: [],
    summary: undefined,
    receipts: [],
    accountData: [],
    sees: undefined,
    relations: NONE,
    ...facts,
  }
}

/** Where the shown timeline starts: the state at its start is the state up to here. */
export function timelineStart(work: RoomWork): number {
  const first = work.timeline[0]
  return first === undefined ? work.until : first.facts.position - 1
}

/** Lets go of what was loaded, once the room is written down. */
export function release(work: RoomWork): void {
  work.timeline = []
  work.deltas = []
  work.state = []
  work.receipts = []
  work.relations = NONE
}
