import { type Queryable, sql } from './sql.ts'

/** A state group whose uses are looked for. */
export interface StateGroupInUse {
  readonly stateGroup: number
  readonly roomNid: number
}

const newest = sql<{ newest: number }>('stateGroups.newest', 'SELECT greatest(max(state_group), 0) AS newest FROM state_groups')
const page = sql<{ state_group: number; room_nid: number }>(
  'stateGroups.page',
  'SELECT state_group, room_nid FROM state_groups WHERE state_group > $1 AND state_group <= $2 ORDER BY state_group LIMIT $3',
)
const byNumbers = sql<{ state_group: number; room_nid: number }>(
  'stateGroups.byNumbers',
  'SELECT state_group, room_nid FROM state_groups WHERE state_group = ANY($1::bigint[]) AND state_group > 0 ORDER BY state_group',
)
const builtOn = sql<{ state_group: number }>(
  'stateGroups.builtOn',
  'SELECT DISTINCT prev_state_group AS state_group FROM state_groups WHERE prev_state_group = ANY($1::bigint[])',
)
// One row at least, so that a page without any of the groups says how far it reached.
const namedInTimeline = sql<{ events: number; lowest: number | null; state_group: number | null }>(
  'stateGroups.namedInTimeline',
  `WITH page AS MATERIALIZED (
     SELECT stream_ordering, state_group, prev_state_group FROM events
     WHERE room_nid = $1 AND stream_ordering < $2 ORDER BY stream_ordering DESC LIMIT $3)
   SELECT (SELECT count(*) FROM page) AS events, (SELECT min(stream_ordering) FROM page) AS lowest, n.state_group
   FROM (SELECT 1) AS one LEFT JOIN (
     SELECT state_group FROM page WHERE state_group = ANY($4::bigint[])
     UNION SELECT prev_state_group FROM page WHERE prev_state_group = ANY($4::bigint[])) AS n ON true`,
)
const namedOutside = sql<{ state_group: number }>(
  'stateGroups.namedOutside',
  `SELECT state_group FROM events WHERE room_nid = $1 AND stream_ordering IS NULL AND state_group = ANY($2::bigint[])
   UNION
   SELECT prev_state_group FROM events WHERE room_nid = $1 AND stream_ordering IS NULL AND prev_state_group = ANY($2::bigint[])`,
)
/** Deletes of these groups those that no other builds on, and answers what those built on. */
export const removeStateGroups = sql<{ prev_state_group: number | null }>(
  'stateGroups.remove',
  `DELETE FROM state_groups g WHERE g.state_group = ANY($1::bigint[])
     AND NOT EXISTS (SELECT FROM state_groups n WHERE n.prev_state_group = g.state_group)
   RETURNING g.prev_state_group`,
)

/** Finds out which state groups something still refers to. */
export class StateGroupUsesReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** The greatest number of a group that no event made, 0 without any. */
  async newest(): Promise<number> {
    return (await this.#db.query(newest))[0]?.newest ?? 0
  }

  /** Groups with numbers above `after` up to `upTo`, ascending. */
  async page(after: number, upTo: number, limit: number): Promise<StateGroupInUse[]> {
    return (await this.#db.query(page, [after, upTo, limit])).map(toGroup)
  }

  /** Those of these groups that are there, and made by no event. */
  async byNumbers(stateGroups: readonly number[]): Promise<StateGroupInUse[]> {
    return stateGroups.length === 0 ? [] : (await this.#db.query(byNumbers, [stateGroups])).map(toGroup)
  }

  /** Which of the groups another one builds on that has a row. */
  async builtOn(stateGroups: readonly number[]): Promise<Set<number>> {
    return stateGroups.length === 0 ? new Set() : groupsIn(await this.#db.query(builtOn, [stateGroups]))
  }

  /**
   * Which of the groups are the states after or before events of the room's timeline, looked for in the `limit` events before a position.
   * @returns `next`: where to go on; absent at the timeline's beginning
   */
  async namedInTimeline(
    roomNid: number,
    stateGroups: readonly number[],
    before: number,
    limit: number,
  ): Promise<{ named: Set<number>; next: number | undefined }> {
    const rows = await this.#db.query(namedInTimeline, [roomNid, before, limit, stateGroups])
    const { events = 0, lowest = null } = rows[0] ?? {}
    return { named: groupsIn(rows), next: events < limit || lowest === null ? undefined : lowest }
  }

  /** Which of the groups are the states after or before those of the room's events that stand in no timeline. */
  async namedOutside(roomNid: number, stateGroups: readonly number[]): Promise<Set<number>> {
    return groupsIn(await this.#db.query(namedOutside, [roomNid, stateGroups]))
  }
}

function toGroup(row: { state_group: number; room_nid: number }): StateGroupInUse {
  return { stateGroup: row.state_group, roomNid: row.room_nid }
}

function groupsIn(rows: ReadonlyArray<{ state_group: number | null }>): Set<number> {
  return new Set(rows.flatMap((row) => row.state_group ?? []))
}
