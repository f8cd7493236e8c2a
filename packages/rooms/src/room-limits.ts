import { type AuthEventView, type JsonObject, MatrixError, own, type Rejection, reject } from '@weft/matrix'
import { contentBytes, isPending, type RoomHead } from './room-head.ts'

/** How far a room may grow in what every member of it has to keep (R26). */
export interface RoomLimits {
  /** State that is no member's: entries. */
  readonly stateEntries: number
  /** And bytes of their contents in memory, where a character takes two. */
  readonly stateBytes: number
  /** Invitations and knocks that wait for an answer. */
  readonly pending: number
  /** Forward extremities. */
  readonly extremities: number
}

/** For what users of this server add. Their invitations and knocks have limits of their own. */
const SEND_LIMITS: Pick<RoomLimits, 'stateEntries' | 'stateBytes'> = { stateEntries: 20_000, stateBytes: 64 * 1024 * 1024 }

/** For what other servers bring: wider, since what is refused here stands in their rooms all the same. */
export const RECEIVE_LIMITS: RoomLimits = {
  stateEntries: 50_000,
  stateBytes: 128 * 1024 * 1024,
  pending: 50_000,
  extremities: 1000,
}

/** @throws MatrixError M_TOO_LARGE for state that makes a room larger which is as large as it may be */
export function requireRoomForState(head: RoomHead, event: { type: string; stateKey: string; content: JsonObject }): void {
  if (!fitsState(head, event, SEND_LIMITS)) throw new MatrixError('M_TOO_LARGE', 'The room has too much state')
}

/**
 * Whether a room has a place for a state event of another server; what is refused is not in its state here, and who builds on it is not
 * to blame.
 *
 * NOTSPEC: other servers' states have it; a room without bounds would end this one.
 */
export function refusedByLimits(head: RoomHead, event: AuthEventView, limits: RoomLimits): Rejection | undefined {
  const { type, stateKey, content } = event
  if (stateKey === undefined || type === 'm.room.create') return undefined
  if (type !== 'm.room.member') {
    return fitsState(head, { type, stateKey, content }, limits) ? undefined : reject('limit.state', 'the room has too much state')
  }
  if (!isPending(own(content, 'membership')) || isPending(head.membership(stateKey)) || head.pendingMembers < limits.pending)
    return undefined
  return reject('limit.pending', 'too many invitations and knocks wait in the room')
}

function fitsState(
  head: RoomHead,
  { type, stateKey, content }: { type: string; stateKey: string; content: JsonObject },
  limits: Pick<RoomLimits, 'stateEntries' | 'stateBytes'>,
): boolean {
  const before = head.get(type, stateKey)
  const { entries, bytes } = head.otherState
  if (before === undefined && entries >= limits.stateEntries) return false
  if (bytes < limits.stateBytes) return true
  return before !== undefined && contentBytes(type, content) <= contentBytes(type, before.content)
}
