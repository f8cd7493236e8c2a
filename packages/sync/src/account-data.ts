import { predefinedPushRules } from '@weft/matrix'
import type { SyncAccountDataRow, SyncReader } from '@weft/storage'
import type { RoomWork, SyncScope } from './room-work.ts'
import type { UserView } from './user-view.ts'

export interface AccountDataItem {
  readonly type: string
  /** JSON text. */
  readonly content: string
}

/**
 * Puts the user's data of rooms where it belongs and answers the account's own. What was deleted is told as an empty object to
 * whoever had it.
 * Spec: client-server API, "Client Config".
 */
export function loadAccountData(
  works: readonly RoomWork[],
  view: UserView,
  scope: SyncScope,
  reader: SyncReader,
): AccountDataItem[] | Promise<AccountDataItem[]> {
  const since = scope.since?.accountData ?? 0
  const whole = scope.since === undefined ? [] : works.filter((work) => work.allAccountData).map((work) => work.roomNid)
  if (scope.since === undefined || since < view.floor.accountData) return readAccountData(works, whole, since, scope, reader)
  const changed = view.accountDataAfter(since, scope.now.accountData)
  if (whole.length === 0) return place(changed, works, scope)
  return reader.accountDataOfRooms(scope.userId, whole, scope.now.accountData).then((rows) => place(merged(changed, rows), works, scope))
}

async function readAccountData(
  works: readonly RoomWork[],
  whole: readonly number[],
  since: number,
  scope: SyncScope,
  reader: SyncReader,
): Promise<AccountDataItem[]> {
  const [changed, rest] = await Promise.all([
    reader.accountData(scope.userId, since, scope.now.accountData),
    reader.accountDataOfRooms(scope.userId, whole, scope.now.accountData),
  ])
  const global = place(merged(changed, rest), works, scope)
  return scope.since === undefined ? [...global, ...pushRules(scope)] : global
}

/**
 * The push rules are account data that no row holds, as no endpoint changes them: every user has the predefined ones. Some clients
 * know them from here alone (matrix-nio, the Dart and Rust ones).
 * Spec: client-server API, "Push Rules: Events".
 */
function pushRules(scope: SyncScope): AccountDataItem[] {
  const type = 'm.push_rules'
  if (!scope.filter.accountData.matches({ type, sender: scope.userId })) return []
  return [{ type, content: JSON.stringify({ global: predefinedPushRules(scope.userId) }) }]
}

/** Without what comes twice: each type of a room, as of its newest row. */
function merged(changed: readonly SyncAccountDataRow[], rest: readonly SyncAccountDataRow[]): SyncAccountDataRow[] {
  const positions = new Set(changed.map((row) => row.position))
  return [...changed, ...rest.filter((row) => !positions.has(row.position))]
}

function place(rows: readonly SyncAccountDataRow[], works: readonly RoomWork[], scope: SyncScope): AccountDataItem[] {
  const global: AccountDataItem[] = []
  if (rows.length === 0) return global
  const rooms = new Map(works.map((work) => [work.roomNid, work]))
  const { accountData, room } = scope.filter
  for (const { roomNid, type, content } of rows) {
    const item = { type, content: content ?? '{}' }
    if (roomNid === undefined) {
      if (accountData.matches({ type, sender: scope.userId })) global.push(item)
      continue
    }
    const work = rooms.get(roomNid)
    if (work === undefined || (work.section !== 'join' && work.section !== 'leave')) continue
    if (room.accountData.matches({ type, sender: scope.userId, roomId: work.roomId })) work.accountData.push(item)
  }
  return global
}
