import { fromPgText } from './pg-text.ts'
import { type Queryable, sql } from './sql.ts'

/** What a room's tables hold, counted. Bytes are those of the texts, before PostgreSQL compresses them. */
export interface RoomFigures {
  readonly members: Readonly<Record<string, number>>
  readonly stateEntries: number
  readonly stateChanges: number
  readonly aliases: number
  readonly published: boolean
  readonly events: {
    readonly all: number
    readonly timeline: number
    /** Of the timeline, those that were fetched from behind it. */
    readonly backfilled: number
    readonly outliers: number
    readonly rejected: number
    readonly softFailed: number
    readonly state: number
    readonly redacted: number
    /** Of the redacted ones, those whose text is still there. */
    readonly notErased: number
    readonly relations: number
    readonly jsonBytes: number
    readonly envelopeBytes: number
    readonly largestBytes: number
  }
  readonly stateGroups: {
    readonly all: number
    readonly snapshots: number
    readonly deltas: number
    /** Those that have no row, since their events say them. */
    readonly ofEvents: number
    readonly bytes: number
    /** Groups that are read for the state that is furthest from its snapshot. */
    readonly longestChain: number
  }
  /** Positions of the timeline; absent where it is empty. */
  readonly positions: { readonly first: number; readonly last: number } | undefined
}

/** An event that no other names as a prev event. */
export interface ExtremityRow {
  readonly eventId: string
  readonly type: string
  readonly sender: string
  readonly depth: number
  readonly stateGroup: number | undefined
  /** Milliseconds since the epoch, by the sender's clock. */
  readonly originServerTs: number
}

const members = sql<{ membership: string; n: number }>(
  'roomInspection.members',
  'SELECT membership, count(*) AS n FROM room_memberships WHERE room_nid = $1 GROUP BY membership ORDER BY n DESC, membership',
)
const rest = sql<{ state_entries: number; state_changes: number; aliases: number; published: boolean; relations: number }>(
  'roomInspection.rest',
  `SELECT (SELECT count(*) FROM current_state_events WHERE room_nid = $1) AS state_entries,
     (SELECT count(*) FROM current_state_delta_stream WHERE room_nid = $1) AS state_changes,
     (SELECT count(*) FROM room_aliases WHERE room_nid = $1) AS aliases,
     EXISTS (SELECT FROM room_directory WHERE room_nid = $1) AS published,
     (SELECT count(*) FROM event_relations WHERE room_nid = $1) AS relations`,
)
const events = sql<Record<(typeof EVENT_FIGURES)[number], number> & { first: number | null; last: number | null }>(
  'roomInspection.events',
  `SELECT count(*) AS "all", count(stream_ordering) AS timeline, count(*) FILTER (WHERE stream_ordering < 0) AS backfilled,
     count(*) FILTER (WHERE outlier) AS outliers, count(rejection_reason) AS rejected, count(*) FILTER (WHERE soft_failed) AS "softFailed",
     count(state_key) AS state, count(redacted_by) AS redacted, count(w.event_nid) AS "notErased",
     coalesce(sum(octet_length(json)), 0)::bigint AS "jsonBytes", coalesce(sum(octet_length(envelope)), 0)::bigint AS "envelopeBytes",
     coalesce(max(octet_length(json) + octet_length(envelope)), 0) AS "largestBytes", min(stream_ordering) AS first,
     max(stream_ordering) AS last
   FROM events e LEFT JOIN redacted_events w ON w.event_nid = e.event_nid AND e.redacted_by IS NOT NULL WHERE room_nid = $1`,
)
const EVENT_FIGURES = [
  'all',
  'timeline',
  'backfilled',
  'outliers',
  'rejected',
  'softFailed',
  'state',
  'redacted',
  'notErased',
  'jsonBytes',
  'envelopeBytes',
  'largestBytes',
] as const
/** With those that have no row, since their events say them. */
const GROUPS_OF_ROOM = `
     SELECT state_group, prev_state_group, delta FROM state_groups WHERE room_nid = $1
     UNION ALL
     SELECT state_group, prev_state_group, NULL FROM events WHERE room_nid = $1 AND prev_state_group IS NOT NULL`
const groups = sql<{ groups: number; snapshots: number; rows: number; bytes: number }>(
  'roomInspection.groups',
  `SELECT count(*) AS groups, count(*) FILTER (WHERE prev_state_group IS NULL) AS snapshots, count(delta) AS rows,
     coalesce(sum(octet_length(delta)), 0)::bigint AS bytes
   FROM (${GROUPS_OF_ROOM}) all_groups`,
)
const longestChain = sql<{ longest: number | null }>(
  'roomInspection.longestChain',
  `WITH RECURSIVE links AS MATERIALIZED (${GROUPS_OF_ROOM}),
   chain AS (
     SELECT state_group, 1 AS length FROM links WHERE prev_state_group IS NULL
     UNION ALL
     SELECT l.state_group, c.length + 1 FROM chain c JOIN links l ON l.prev_state_group = c.state_group)
   SELECT max(length) AS longest FROM chain`,
)
type ExtremityColumns = {
  event_id: string
  type: string
  sender: string
  depth: number
  state_group: number | null
  origin_server_ts: number
}
// Without rows in the table the newest event of the timeline is the only one.
const forward = sql<ExtremityColumns>(
  'roomInspection.forward',
  `WITH forked AS (SELECT event_nid FROM event_forward_extremities WHERE room_nid = $1),
   newest AS (
     SELECT event_nid FROM events WHERE room_nid = $1 AND stream_ordering IS NOT NULL AND NOT EXISTS (SELECT FROM forked)
     ORDER BY stream_ordering DESC LIMIT 1)
   SELECT event_id, type, sender, depth, state_group, origin_server_ts
   FROM events WHERE event_nid IN (SELECT event_nid FROM forked UNION ALL SELECT event_nid FROM newest) ORDER BY depth DESC, event_id`,
)
const backward = sql<{ event_id: string }>(
  'roomInspection.backward',
  'SELECT event_id FROM event_backward_extremities WHERE room_nid = $1 ORDER BY event_id',
)

/** Looks at all that the tables hold of a room: reads each of its events, so it is for people and not for requests. */
export class RoomInspectionReader {
  readonly #db: Queryable

  /** @param db a transaction that sees one moment, where the figures are to fit together */
  constructor(db: Queryable) {
    this.#db = db
  }

  async figures(roomNid: number): Promise<RoomFigures> {
    const memberRows = await this.#db.query(members, [roomNid])
    const [other] = await this.#db.query(rest, [roomNid])
    const [event] = await this.#db.query(events, [roomNid])
    const [group] = await this.#db.query(groups, [roomNid])
    const [chain] = await this.#db.query(longestChain, [roomNid])
    if (other === undefined || event === undefined || group === undefined) throw new Error('counts always have a row')
    const { first, last, ...counts } = event
    return {
      members: Object.fromEntries(memberRows.map(({ membership, n }) => [membership, n])),
      stateEntries: other.state_entries,
      stateChanges: other.state_changes,
      aliases: other.aliases,
      published: other.published,
      events: { ...counts, relations: other.relations },
      stateGroups: {
        all: group.groups,
        snapshots: group.snapshots,
        deltas: group.rows - group.snapshots,
        ofEvents: group.groups - group.rows,
        bytes: group.bytes,
        longestChain: chain?.longest ?? 0,
      },
      positions: first === null || last === null ? undefined : { first, last },
    }
  }

  /** Deepest first. */
  async forwardExtremities(roomNid: number): Promise<ExtremityRow[]> {
    return (await this.#db.query(forward, [roomNid])).map((row) => ({
      eventId: row.event_id,
      type: fromPgText(row.type),
      sender: row.sender,
      depth: row.depth,
      stateGroup: row.state_group ?? undefined,
      originServerTs: row.origin_server_ts,
    }))
  }

  /** The ids of events that are named as prev events and are not here. */
  async backwardExtremities(roomNid: number): Promise<string[]> {
    return (await this.#db.query(backward, [roomNid])).map((row) => row.event_id)
  }
}
