import { type BoundSql, type Queryable, sql } from './sql.ts'

/** An entry that a state event sets, by numbers. */
export type StateEntryNids = readonly [stateKeyNid: number, eventNid: number]

/** A state group. */
export interface StateGroupRow {
  /** Below 0 for the group that an event makes ({@link groupOfEvent}). */
  readonly stateGroup: number
  readonly roomNid: number
  readonly prevStateGroup: number | undefined
  readonly height: number
  /**
   * What it lays over the group before: in packages/rooms' encoding as state_groups has it, or the one entry of a group that has no
   * row there, since its event says it all (`events.prev_state_group`).
   */
  readonly delta: Uint8Array | StateEntryNids
}

/** A state group with a row of its own. */
export type StoredStateGroup = StateGroupRow & { readonly delta: Uint8Array }

/** The number of the group that a state event makes. Those of other states come from a sequence. */
export function groupOfEvent(eventNid: number): number {
  return -eventNid
}

type Columns = {
  state_group: number
  room_nid: number
  prev_state_group: number | null
  height: number | null
  delta: Buffer | null
  state_key_nid: number | null
}

// UNION drops what is there already, so groups that forks have in common are walked and sent once. LATERAL, so that each step asks the
// indexes: as joins they may become a scan of all events.
const chains = sql<Columns>(
  'stateGroups.chains',
  `WITH RECURSIVE chain(state_group) AS (
     SELECT unnest($1::bigint[])
     UNION
     SELECT p.prev_state_group FROM chain c CROSS JOIN LATERAL (
       SELECT prev_state_group FROM state_groups WHERE state_group = c.state_group
       UNION ALL
       SELECT prev_state_group FROM events WHERE event_nid = -c.state_group) p
     WHERE p.prev_state_group IS NOT NULL)
   SELECT l.* FROM chain c CROSS JOIN LATERAL (
     SELECT state_group, room_nid, prev_state_group, height, delta, NULL::bigint AS state_key_nid
     FROM state_groups WHERE state_group = c.state_group
     UNION ALL
     SELECT e.state_group, e.room_nid, e.prev_state_group, NULL, NULL,
       (SELECT state_key_nid FROM state_keys k WHERE k.type = e.type AND k.state_key = e.state_key)
     FROM events e WHERE e.event_nid = -c.state_group AND e.prev_state_group IS NOT NULL) l`,
)
const insert = sql(
  'stateGroups.insert',
  `INSERT INTO state_groups (state_group, room_nid, prev_state_group, height, delta)
   SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::int[], $5::bytea[])`,
)

/** True for a group that is written to state_groups; the others are said by their events. */
export function isStored(group: StateGroupRow): group is StoredStateGroup {
  return group.delta instanceof Uint8Array
}

/** Reads these groups and all that they build on, each once, by number. Those that are not there are absent. */
export async function readStateGroups(db: Queryable, stateGroups: readonly number[]): Promise<Map<number, StateGroupRow>> {
  const groups = new Map<number, StateGroupRow>()
  if (stateGroups.length === 0) return groups
  const columns = new Map((await db.query(chains, [stateGroups])).map((row) => [row.state_group, row]))
  for (const stateGroup of columns.keys()) {
    // From the first group below that has a height, upwards.
    const path: Columns[] = []
    let at = columns.get(stateGroup)
    while (at !== undefined && !groups.has(at.state_group)) {
      path.push(at)
      at = at.prev_state_group === null ? undefined : columns.get(at.prev_state_group)
    }
    for (const row of path.reverse()) groups.set(row.state_group, toGroup(row, groups.get(row.prev_state_group ?? 0)))
  }
  return groups
}

/** Writes groups that are to have rows; only ever inside a transaction. */
export function insertStateGroups(groups: readonly StoredStateGroup[]): BoundSql {
  return {
    sql: insert,
    values: [
      groups.map((g) => g.stateGroup),
      groups.map((g) => g.roomNid),
      groups.map((g) => g.prevStateGroup ?? null),
      groups.map((g) => g.height),
      groups.map((g) => g.delta),
    ],
  }
}

function toGroup(row: Columns, prev: StateGroupRow | undefined): StateGroupRow {
  const { state_group: stateGroup, room_nid: roomNid, prev_state_group, delta, state_key_nid: stateKeyNid } = row
  if (delta === null && (prev === undefined || stateKeyNid === null))
    throw new Error(`what state group ${stateGroup} builds on is not there`)
  return {
    ...{ stateGroup, roomNid, prevStateGroup: prev_state_group ?? undefined },
    height: row.height ?? (prev as StateGroupRow).height + 1,
    delta: delta ?? [stateKeyNid as number, -stateGroup],
  }
}
