import { CLIENT_EVENT_COLUMNS, type ClientEventRow, toClientEventRow } from './events.ts'
import { toPgText } from './pg-text.ts'
import { type BoundSql, type Queryable, sql } from './sql.ts'

type ClientEventColumns = Parameters<typeof toClientEventRow>[0]

/** That an event of a timeline relates to another. */
export interface RelationRow {
  readonly relatesToId: string
  /** The relating event's own position. */
  readonly streamOrdering: number
  readonly eventNid: number
  readonly roomNid: number
  readonly relationType: string
  readonly sender: string
}

/** An event whose children are asked for. */
export interface Parent {
  readonly eventId: string
  readonly roomNid: number
  readonly sender: string
  readonly type: string
  /** The last position that the reader sees. */
  readonly until: number
}

/** What a thread comes to. */
export interface ThreadRow {
  readonly rootId: string
  readonly count: number
  readonly latestNid: number
  readonly participated: boolean
}

/** The longest id and relation type that are stored: nothing longer is an event's id, or makes sense as a type. */
const MAX_BYTES = 255

const CHILD_COLUMNS = CLIENT_EVENT_COLUMNS.split(',')
  .map((column) => `e.${column.trim()}`)
  .join(', ')
const FROM_PARENTS = 'FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS p(event_id, room_nid, until)'
const OF_PARENT = 'r.relates_to_id = p.event_id AND r.room_nid = p.room_nid AND r.stream_ordering <= p.until'

const insert = sql(
  'relations.insert',
  `INSERT INTO event_relations (event_nid, relates_to_id, stream_ordering, room_nid, relation_type, sender)
   SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])`,
)
const childrenSelect = `SELECT ${CHILD_COLUMNS} FROM event_relations r JOIN events e ON e.event_nid = r.event_nid
   WHERE r.relates_to_id = ANY($1::text[]) AND r.room_nid = $2
     AND ($3::text IS NULL OR r.relation_type = $3) AND ($4::text IS NULL OR e.type = $4)`
const childrenBack = sql<ClientEventColumns>(
  'relations.childrenBack',
  `${childrenSelect} AND r.stream_ordering <= $5 AND r.stream_ordering > $6 ORDER BY r.stream_ordering DESC LIMIT $7`,
)
const childrenForward = sql<ClientEventColumns>(
  'relations.childrenForward',
  `${childrenSelect} AND r.stream_ordering > $5 AND r.stream_ordering <= $6 ORDER BY r.stream_ordering LIMIT $7`,
)
const descendants = sql<{ event_id: string }>(
  'relations.descendants',
  `WITH RECURSIVE tree AS (
     SELECT $1::text AS event_id, 0 AS depth
     UNION
     SELECT e.event_id, t.depth + 1 FROM tree t JOIN event_relations r ON r.relates_to_id = t.event_id AND r.room_nid = $2
     JOIN events e ON e.event_nid = r.event_nid WHERE t.depth < $3)
   SELECT DISTINCT event_id FROM (SELECT event_id FROM tree LIMIT $4) found`,
)
const ofSender = sql<ClientEventColumns>(
  'relations.ofSender',
  `SELECT ${CHILD_COLUMNS} FROM event_relations r JOIN events e ON e.event_nid = r.event_nid
   WHERE r.relates_to_id = $1 AND r.room_nid = $2 AND r.relation_type = $3 AND r.sender = $4 AND e.type = $5`,
)
const kinds = sql<{ event_id: string; relation_type: string }>(
  'relations.kinds',
  `SELECT DISTINCT p.event_id, r.relation_type ${FROM_PARENTS} JOIN event_relations r ON ${OF_PARENT} WHERE r.relation_type = ANY($4::text[])`,
)
// Only that there is new content is asked for here; of what shape it is, the caller looks at.
const replacements = sql<ClientEventColumns & { parent_id: string }>(
  'relations.replacements',
  `SELECT p.event_id AS parent_id, n.*
   FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) AS p(event_id, room_nid, until, sender, type)
   CROSS JOIN LATERAL (
     SELECT ${CHILD_COLUMNS} FROM event_relations r JOIN events e ON e.event_nid = r.event_nid
     WHERE ${OF_PARENT} AND r.relation_type = 'm.replace' AND r.sender = p.sender AND e.type = p.type AND e.state_key IS NULL
       AND (e.type = 'm.room.encrypted' OR e.json LIKE '%"m.new_content"%')
     ORDER BY e.origin_server_ts DESC, e.event_id COLLATE "C" DESC LIMIT 1) n`,
)
const references = sql<{ parent_id: string; event_id: string; stream_ordering: number; type: string; state_key: string | null }>(
  'relations.references',
  `SELECT p.event_id AS parent_id, n.event_id, n.stream_ordering, n.type, n.state_key ${FROM_PARENTS}
   CROSS JOIN LATERAL (
     SELECT e.event_id, e.stream_ordering, e.type, e.state_key FROM event_relations r JOIN events e ON e.event_nid = r.event_nid
     WHERE ${OF_PARENT} AND r.relation_type = 'm.reference' AND r.sender <> ALL($4::text[])
     ORDER BY r.stream_ordering LIMIT $5) n`,
)
const threads = sql<{ parent_id: string; members: number; latest_nid: number; participated: boolean }>(
  'relations.threads',
  `SELECT p.event_id AS parent_id, n.members, n.participated, l.event_nid AS latest_nid ${FROM_PARENTS}
   CROSS JOIN LATERAL (
     SELECT count(*) AS members, bool_or(r.sender = $5) AS participated FROM event_relations r
     WHERE ${OF_PARENT} AND r.relation_type = 'm.thread' AND r.sender <> ALL($4::text[])) n
   CROSS JOIN LATERAL (
     SELECT r.event_nid FROM event_relations r WHERE ${OF_PARENT} AND r.relation_type = 'm.thread' AND r.sender <> ALL($4::text[])
     ORDER BY r.stream_ordering DESC LIMIT 1) l`,
)
const threadReplies = sql<{ relates_to_id: string; stream_ordering: number }>(
  'relations.threadReplies',
  `SELECT relates_to_id, stream_ordering FROM event_relations
   WHERE room_nid = $1 AND relation_type = 'm.thread' AND stream_ordering <= $2 ORDER BY stream_ordering DESC LIMIT $3`,
)
const threadRoots = sql<ClientEventColumns & { latest_ordering: number }>(
  'relations.threadRoots',
  `SELECT ${CHILD_COLUMNS}, l.stream_ordering AS latest_ordering FROM events e
   CROSS JOIN LATERAL (
     SELECT r.stream_ordering FROM event_relations r
     WHERE r.relates_to_id = e.event_id AND r.room_nid = $1 AND r.stream_ordering <= $3 AND r.relation_type = 'm.thread'
       AND r.sender <> ALL($4::text[])
     ORDER BY r.stream_ordering DESC LIMIT 1) l
   WHERE e.event_id = ANY($2::text[]) AND e.room_nid = $1
     AND ($5::text IS NULL OR e.sender = $5 OR EXISTS (
       SELECT FROM event_relations r WHERE r.relates_to_id = e.event_id AND r.room_nid = $1 AND r.relation_type = 'm.thread' AND r.sender = $5))`,
)

/** Reads how events relate. A redacted event relates to nothing any more: it has no row. */
export class RelationsReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /**
   * A page of the events that relate to one of `parentIds`. Backwards: positions in (`until`, `from`], newest first. Forwards:
   * (`from`, `until`].
   */
  async children(
    roomNid: number,
    parentIds: readonly string[],
    range: {
      readonly direction: 'b' | 'f'
      readonly from: number
      readonly until: number
      readonly limit: number
      readonly relationType?: string | undefined
      readonly type?: string | undefined
    },
  ): Promise<ClientEventRow[]> {
    const { direction, from, until, limit, relationType, type } = range
    const values = [parentIds, roomNid, textOrNull(relationType), textOrNull(type), from, until, limit]
    return (await this.#db.query(direction === 'b' ? childrenBack : childrenForward, values)).map(toClientEventRow)
  }

  /** The event and what relates to it over at most `depth` steps; at most `limit` of them. */
  async descendants(roomNid: number, eventId: string, depth: number, limit: number): Promise<string[]> {
    return (await this.#db.query(descendants, [eventId, roomNid, depth, limit])).map((row) => row.event_id)
  }

  /** The events of one type by which a user relates to another event in one way. */
  async ofSender(relation: {
    readonly roomNid: number
    readonly relatesToId: string
    readonly relationType: string
    readonly sender: string
    readonly type: string
  }): Promise<ClientEventRow[]> {
    const { relatesToId, roomNid, relationType, sender, type } = relation
    if (!isStorable(relatesToId, relationType)) return []
    return (await this.#db.query(ofSender, [relatesToId, roomNid, toPgText(relationType), sender, toPgText(type)])).map(toClientEventRow)
  }

  /** In which of these ways anything relates to which parent. */
  async kinds(parents: readonly Parent[], relationTypes: readonly string[]): Promise<Array<{ parentId: string; relationType: string }>> {
    if (parents.length === 0) return []
    const rows = await this.#db.query(kinds, [...rangesOf(parents), relationTypes])
    return rows.map((row) => ({ parentId: row.event_id, relationType: row.relation_type }))
  }

  /** The latest replacement of each parent by its own sender, of its own type. */
  async replacements(parents: readonly Parent[]): Promise<Map<string, ClientEventRow>> {
    if (parents.length === 0) return new Map()
    const values = [...rangesOf(parents), parents.map((parent) => parent.sender), parents.map((parent) => toPgText(parent.type))]
    return new Map((await this.#db.query(replacements, values)).map((row) => [row.parent_id, toClientEventRow(row)]))
  }

  /** The first `limit` events that refer to each parent, but for those of `ignored` users. */
  async references(parents: readonly Parent[], ignored: readonly string[], limit: number) {
    if (parents.length === 0) return []
    const rows = await this.#db.query(references, [...rangesOf(parents), ignored, limit])
    return rows.map((row) => ({
      parentId: row.parent_id,
      eventId: row.event_id,
      streamOrdering: row.stream_ordering,
      type: row.type,
      stateKey: row.state_key ?? undefined,
    }))
  }

  /** What the thread of each root comes to, without the events of `ignored` users. */
  async threads(roots: readonly Parent[], ignored: readonly string[], userId: string): Promise<ThreadRow[]> {
    if (roots.length === 0) return []
    const rows = await this.#db.query(threads, [...rangesOf(roots), ignored, userId])
    return rows.map((row) => ({
      rootId: row.parent_id,
      count: row.members,
      latestNid: row.latest_nid,
      participated: row.participated,
    }))
  }

  /** The newest messages of a room's threads at or before a position, with the ids of their threads' roots, the newest first. */
  async threadReplies(roomNid: number, from: number, limit: number): Promise<Array<{ rootId: string; position: number }>> {
    const rows = await this.#db.query(threadReplies, [roomNid, from, limit])
    return rows.map((row) => ({ rootId: row.relates_to_id, position: row.stream_ordering }))
  }

  /**
   * Those of the events that are roots of threads in the room, with the positions of their threads' latest events.
   * @param until the last position that the reader sees
   * @param participant only threads that this user began or wrote in
   */
  async threadRoots(
    roomNid: number,
    rootIds: readonly string[],
    until: number,
    ignored: readonly string[],
    participant: string | undefined,
  ): Promise<Array<{ root: ClientEventRow; latest: number }>> {
    if (rootIds.length === 0) return []
    const rows = await this.#db.query(threadRoots, [roomNid, rootIds, until, ignored, participant ?? null])
    return rows.map((row) => ({ root: toClientEventRow(row), latest: row.latest_ordering }))
  }
}

/** Statements that write relations; they only ever run inside a transaction. */
export const relationsWriter = {
  /** Passes over what is no event id, or has a type too long to be one. `undefined` when nothing is left. */
  insert(rows: readonly RelationRow[]): BoundSql | undefined {
    const kept = rows.filter((row) => isStorable(row.relatesToId, row.relationType))
    if (kept.length === 0) return undefined
    return {
      sql: insert,
      values: [
        kept.map((row) => row.eventNid),
        kept.map((row) => row.relatesToId),
        kept.map((row) => row.streamOrdering),
        kept.map((row) => row.roomNid),
        kept.map((row) => toPgText(row.relationType)),
        kept.map((row) => row.sender),
      ],
    }
  },
}

function isStorable(eventId: string, relationType: string): boolean {
  const id = eventId.startsWith('$') && !eventId.includes('\0') && eventId.isWellFormed() && Buffer.byteLength(eventId) <= MAX_BYTES
  return id && Buffer.byteLength(relationType) <= MAX_BYTES
}

function rangesOf(parents: readonly Parent[]): [string[], number[], number[]] {
  return [parents.map((parent) => parent.eventId), parents.map((parent) => parent.roomNid), parents.map((parent) => parent.until)]
}

function textOrNull(value: string | undefined): string | null {
  return value === undefined ? null : toPgText(value)
}
