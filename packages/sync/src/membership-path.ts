import type { MembershipChangeRow } from '@weft/storage'
import type { MembershipChange } from './user-view.ts'

/** How a user's membership of a room went over a stretch of the stream. */
export interface MembershipPath {
  /** At the start of the stretch. */
  readonly before: string
  /** In the stretch, oldest first. */
  readonly changes: readonly MembershipChange[]
}

/** True when the user was in the room at any moment of the stretch. */
export function wasIn(path: MembershipPath): boolean {
  return path.before === 'join' || path.changes.some((change) => change.membership === 'join')
}

/** True when the user was not in the room at some moment before the last: a client starts the room anew. */
export function enteredAnew(path: MembershipPath): boolean {
  return path.before !== 'join' || path.changes.some((change) => change.membership !== 'join')
}

/** The position at which the user last went out of the room; `undefined` when never in the stretch. */
export function wayOut(path: MembershipPath): number | undefined {
  for (let i = path.changes.length - 1; i >= 0; i--) {
    const change = path.changes[i] as MembershipChange
    const before = i === 0 ? path.before : (path.changes[i - 1] as MembershipChange).membership
    if (change.membership !== 'join' && before === 'join') return change.position
  }
  return undefined
}

/** The paths of all rooms in rows that come in order of position. */
export function pathsOf(rows: readonly MembershipChangeRow[]): Map<number, MembershipPath & { readonly roomId: string }> {
  const paths = new Map<number, { roomId: string; before: string; changes: MembershipChange[] }>()
  for (const row of rows) {
    let path = paths.get(row.roomNid)
    if (path === undefined) {
      path = { roomId: row.roomId, before: row.before ?? 'leave', changes: [] }
      paths.set(row.roomNid, path)
    }
    path.changes.push({ position: row.position, membership: row.membership ?? 'leave', eventNid: row.eventNid })
  }
  return paths
}
