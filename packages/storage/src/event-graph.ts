import { fromPgText } from './pg-text.ts'
import { type BoundSql, type Queryable, sql } from './sql.ts'
import { readStateGroups, type StateGroupRow } from './state-groups.ts'

/** An event as what comes after it in the room's graph needs it. */
export interface GraphEventRow {
  readonly eventNid: number
  readonly roomNid: number
  readonly eventId: string
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  readonly depth: number
  readonly authDepth: number | undefined
  /** The state after the event; absent for outliers. */
  readonly stateGroup: number | undefined
  readonly outlier: boolean
  readonly softFailed: boolean
  readonly rejected: boolean
  readonly json: string
  readonly envelope: string
}

/** An event as a node of the graph that auth events make. */
export interface AuthNodeRow {
  readonly eventNid: number
  readonly eventId: string
  readonly type: string
  readonly stateKey: string | undefined
  readonly authDepth: number | undefined
  readonly envelope: string
}

type GraphColumns = {
  event_nid: number
  room_nid: number
  event_id: string
  type: string
  state_key: string | null
  sender: string
  depth: number
  auth_depth: number | null
  state_group: number | null
  outlier: boolean
  soft_failed: boolean
  rejected: boolean
  json: string
  envelope: string
}
type NodeColumns = Pick<GraphColumns, 'event_nid' | 'event_id' | 'type' | 'state_key' | 'auth_depth' | 'envelope'>

const GRAPH_COLUMNS = `event_nid, room_nid, event_id, type, state_key, sender, depth, auth_depth, state_group, outlier, soft_failed,
  rejection_reason IS NOT NULL AS rejected, json, envelope`
const byIds = sql<GraphColumns>('eventGraph.byIds', `SELECT ${GRAPH_COLUMNS} FROM events WHERE event_id = ANY($1::text[])`)
const byNids = sql<GraphColumns>('eventGraph.byNids', `SELECT ${GRAPH_COLUMNS} FROM events WHERE event_nid = ANY($1::bigint[])`)
const NODE_COLUMNS = 'event_nid, event_id, type, state_key, auth_depth, envelope'
const nodesByNids = sql<NodeColumns>('eventGraph.nodesByNids', `SELECT ${NODE_COLUMNS} FROM events WHERE event_nid = ANY($1::bigint[])`)
const nodesByIds = sql<NodeColumns>(
  'eventGraph.nodesByIds',
  `SELECT ${NODE_COLUMNS} FROM events WHERE room_nid = $1 AND event_id = ANY($2::text[])`,
)
const backwardExtremities = sql<{ event_id: string }>(
  'eventGraph.backwardExtremities',
  'SELECT event_id FROM event_backward_extremities WHERE room_nid = $1 ORDER BY event_id LIMIT $2',
)
const earlyRedactions = sql<{ redacts: string; event_nid: number }>(
  'eventGraph.earlyRedactions',
  'SELECT redacts, event_nid FROM early_redactions WHERE room_nid = $1 AND redacts = ANY($2::text[]) ORDER BY event_nid',
)
const addBackwardExtremities = sql(
  'eventGraph.addBackwardExtremities',
  'INSERT INTO event_backward_extremities (room_nid, event_id) SELECT $1, id FROM unnest($2::text[]) AS t(id) ON CONFLICT DO NOTHING',
)
const removeBackwardExtremities = sql(
  'eventGraph.removeBackwardExtremities',
  'DELETE FROM event_backward_extremities WHERE room_nid = $1 AND event_id = ANY($2::text[])',
)
const addEarlyRedactions = sql(
  'eventGraph.addEarlyRedactions',
  `INSERT INTO early_redactions (room_nid, redacts, event_nid) SELECT $1, r, n FROM unnest($2::text[], $3::bigint[]) AS t(r, n)
   ON CONFLICT DO NOTHING`,
)
const removeEarlyRedactions = sql(
  'eventGraph.removeEarlyRedactions',
  'DELETE FROM early_redactions WHERE room_nid = $1 AND redacts = ANY($2::text[])',
)

/** Reads the graph of a room: what events build on, and the states around them. */
export class EventGraphReader {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /** Of any room: the id that a server of room version 1 or 2 gave may be another room's already. */
  async byIds(eventIds: readonly string[]): Promise<GraphEventRow[]> {
    const ids = eventIds.filter(isStorableId)
    return ids.length === 0 ? [] : (await this.#db.query(byIds, [ids])).map(toGraphEvent)
  }

  async byNids(nids: readonly number[]): Promise<GraphEventRow[]> {
    return nids.length === 0 ? [] : (await this.#db.query(byNids, [nids])).map(toGraphEvent)
  }

  async nodesByNids(nids: readonly number[]): Promise<AuthNodeRow[]> {
    return nids.length === 0 ? [] : (await this.#db.query(nodesByNids, [nids])).map(toNode)
  }

  async nodesByIds(roomNid: number, eventIds: readonly string[]): Promise<AuthNodeRow[]> {
    const ids = eventIds.filter(isStorableId)
    return ids.length === 0 ? [] : (await this.#db.query(nodesByIds, [roomNid, ids])).map(toNode)
  }

  /** The groups and all they build on, each once, in no order. */
  async chains(stateGroups: readonly number[]): Promise<StateGroupRow[]> {
    return [...(await readStateGroups(this.#db, stateGroups)).values()]
  }

  /** Where the room's history has holes. */
  async backwardExtremities(roomNid: number, limit: number): Promise<string[]> {
    return (await this.#db.query(backwardExtremities, [roomNid, limit])).map((row) => row.event_id)
  }

  /** Redactions that wait for these events, oldest first. */
  async earlyRedactions(roomNid: number, eventIds: readonly string[]): Promise<Array<{ redacts: string; eventNid: number }>> {
    const rows = await this.#db.query(earlyRedactions, [roomNid, eventIds])
    return rows.map((row) => ({ redacts: row.redacts, eventNid: row.event_nid }))
  }
}

/** Statements that write the graph; they only ever run inside a transaction. */
export const eventGraphWriter = {
  addBackwardExtremities: (roomNid: number, eventIds: readonly string[]): BoundSql => ({
    sql: addBackwardExtremities,
    values: [roomNid, eventIds],
  }),
  removeBackwardExtremities: (roomNid: number, eventIds: readonly string[]): BoundSql => ({
    sql: removeBackwardExtremities,
    values: [roomNid, eventIds],
  }),
  addEarlyRedactions: (roomNid: number, redactions: ReadonlyArray<{ redacts: string; eventNid: number }>): BoundSql => ({
    sql: addEarlyRedactions,
    values: [roomNid, redactions.map((r) => r.redacts), redactions.map((r) => r.eventNid)],
  }),
  removeEarlyRedactions: (roomNid: number, redacts: readonly string[]): BoundSql => ({
    sql: removeEarlyRedactions,
    values: [roomNid, redacts],
  }),
}

/** False for what a PDU may name as an event and no event can have as its id: `text` holds neither NUL nor lone surrogates. */
export function isStorableId(id: string): boolean {
  return !id.includes('\0') && id.isWellFormed() && Buffer.byteLength(id) <= 255
}

function toGraphEvent(row: GraphColumns): GraphEventRow {
  return {
    eventNid: row.event_nid,
    roomNid: row.room_nid,
    eventId: row.event_id,
    type: fromPgText(row.type),
    stateKey: row.state_key === null ? undefined : fromPgText(row.state_key),
    sender: row.sender,
    depth: row.depth,
    authDepth: row.auth_depth ?? undefined,
    stateGroup: row.state_group ?? undefined,
    outlier: row.outlier,
    softFailed: row.soft_failed,
    rejected: row.rejected,
    json: row.json,
    envelope: row.envelope,
  }
}

function toNode(row: NodeColumns): AuthNodeRow {
  return {
    eventNid: row.event_nid,
    eventId: row.event_id,
    type: fromPgText(row.type),
    stateKey: row.state_key === null ? undefined : fromPgText(row.state_key),
    authDepth: row.auth_depth ?? undefined,
    envelope: row.envelope,
  }
}
