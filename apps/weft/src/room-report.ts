import type { RoomInspection } from '@weft/rooms'

/** Extremities that are listed one by one. */
const LISTED = 20

/** A room as people read it. @param now ms since the epoch */
export function renderRoom(room: RoomInspection, now: number): string {
  const { events, stateGroups, members, positions } = room
  const lines = [
    `Room ${room.roomId}`,
    ...facts([
      ['version', room.roomVersion],
      [room.creators.length > 1 ? 'creators' : 'creator', room.creators.map(printable).join(', ')],
      ['name', printable(room.name)],
      ['type', printable(room.roomType)],
      ['canonical alias', printable(room.canonicalAlias)],
      [
        'aliases here',
        room.aliases === 0 ? undefined : `${count(room.aliases)}: ${room.aliasNames.slice(0, LISTED).map(printable).join(', ')}`,
      ],
      ['join rule', `${printable(room.joinRule) ?? 'invite'}${room.published ? ', in the room directory' : ''}`],
      ['encrypted', room.encrypted ? 'yes' : 'no'],
      ['replaces', printable(room.predecessor)],
      ['replaced by', printable(room.replacement)],
    ]),
    '',
    'Members',
    ...facts(Object.entries(members).map(([membership, n]) => [membership, count(n)])),
    '',
    'Events',
    ...facts([
      ['stored', `${count(events.all)}, of which ${count(events.state)} are state`],
      ['in the timeline', count(events.timeline) + (events.backfilled > 0 ? `, of which ${count(events.backfilled)} are backfilled` : '')],
      ['positions', positions && `${positions.first} to ${positions.last}`],
      ['outliers', count(events.outliers)],
      ['rejected', count(events.rejected)],
      ['soft-failed', count(events.softFailed)],
      ['redacted', `${count(events.redacted)}, of which ${count(events.redacted - events.notErased)} are erased`],
      ['relations', count(events.relations)],
      [
        'bytes',
        `${size(events.jsonBytes + events.envelopeBytes)}: ${size(events.jsonBytes)} for clients, ${size(events.envelopeBytes)} for servers; ` +
          `the largest ${size(events.largestBytes)}`,
      ],
    ]),
    '',
    'State',
    ...facts([
      ['entries', count(room.stateEntries)],
      ['changes', count(room.stateChanges)],
      [
        'groups',
        `${count(stateGroups.all)}: ${count(stateGroups.snapshots)} snapshots, ${count(stateGroups.deltas)} deltas, ` +
          `${count(stateGroups.ofEvents)} said by their events`,
      ],
      ['longest chain', `${count(stateGroups.longestChain)} groups`],
      ['bytes', size(stateGroups.bytes)],
    ]),
    '',
    `Forward extremities: ${count(room.forwardExtremities.length)}`,
    ...room.forwardExtremities
      .slice(0, LISTED)
      .map(
        ({ eventId, type, sender, depth, originServerTs }) =>
          `  ${eventId}  depth ${depth}, ${age(now - originServerTs)}, ${printable(type)} of ${printable(sender)}`,
      ),
    ...more(room.forwardExtremities.length),
    '',
    `Backward extremities: ${count(room.backwardExtremities.length)}${room.backwardExtremities.length > 0 ? ', events that are not here' : ''}`,
    ...room.backwardExtremities.slice(0, LISTED).map((eventId) => `  ${printable(eventId)}`),
    ...more(room.backwardExtremities.length),
  ]
  return lines.join('\n')
}

function facts(rows: ReadonlyArray<readonly [label: string, value: string | undefined]>): string[] {
  return rows.flatMap(([label, value]) => (value === undefined ? [] : [`  ${label.padEnd(17)}${value}`]))
}

function more(n: number): string[] {
  return n > LISTED ? [`  and ${count(n - LISTED)} more; --json has all`] : []
}

/** What members of a room write must not move the operator's cursor. */
function printable<T extends string | undefined>(text: T): T {
  return text?.replaceAll(/\p{C}/gu, (char) => `\\u{${(char.codePointAt(0) as number).toString(16)}}`) as T
}

function count(n: number): string {
  return n.toLocaleString('en')
}

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KiB`
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}

/** By the sender's clock, which may be ahead. */
function age(ms: number): string {
  if (ms < 0) return 'from the future'
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return 'just now'
  if (minutes < 120) return `${minutes} min ago`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`
}
