import { type BoundSql, type Queryable, type StatementError, sql } from '@weft/storage'

/** Who writes: the logical name of the writer, which followers see as `instance`, and the epoch of its lease. */
export interface WriterIdentity {
  readonly name: string
  readonly epoch: number
}

/** Another process has become the writer: nothing of this transaction was written, and nothing more can be. */
export class FencedError extends Error {
  override readonly name = 'FencedError'
}

const fenceName = 'writer.fence'
const storeName = 'streamPositions.store'
const storeAllName = 'streamPositions.storeAll'

// FOR SHARE is held until the commit, and a takeover updates the row: it waits for this transaction, or this one sees
// the new epoch. Then the count is 0 and the division fails the transaction, in a pipeline too.
const fence = sql<{ held: number; xid: string }>(
  fenceName,
  'SELECT 1 / (SELECT count(*) FROM (SELECT 1 FROM writer_epoch WHERE writer = $1 AND epoch = $2 FOR SHARE) held) AS held, pg_current_xact_id()::text AS xid',
)

// The rows are there since the writer's start.
const store = sql<{ xid: string }>(
  storeName,
  `UPDATE stream_positions SET stream_id = greatest(stream_id, $4)
     / (SELECT count(*) FROM (SELECT 1 FROM writer_epoch WHERE writer = $1 AND epoch = $2 FOR SHARE) held)
   WHERE stream_name = $3 AND instance_name = $1 RETURNING pg_current_xact_id()::text AS xid`,
)

const storeAll = sql<{ xid: string }>(
  storeAllName,
  `WITH held AS MATERIALIZED (SELECT 1 FROM writer_epoch WHERE writer = $1 AND epoch = $2 FOR SHARE),
   stored AS (
     INSERT INTO stream_positions (stream_name, instance_name, stream_id)
     SELECT given.name, $1, given.id / (SELECT count(*) FROM held) FROM unnest($3::text[], $4::bigint[]) AS given(name, id)
     ON CONFLICT (stream_name, instance_name) DO UPDATE SET stream_id = excluded.stream_id
     WHERE stream_positions.stream_id < excluded.stream_id
   )
   SELECT pg_current_xact_id()::text AS xid`,
)

const read = sql<{ stream_name: string; stream_id: number }>(
  'streamPositions.read',
  'SELECT stream_name, stream_id FROM stream_positions WHERE instance_name = $1',
)

const outcome = sql<{ status: 'committed' | 'aborted' | 'in progress' | null }>(
  'streamPositions.outcome',
  'SELECT pg_xact_status($1::xid8) AS status',
)

/** Fails the transaction (see `asFenced`) unless this writer still holds its epoch; held until the transaction ends. */
export function fenceStatement(writer: WriterIdentity): BoundSql {
  return { sql: fence, values: [writer.name, writer.epoch] }
}

/**
 * The fence, and the positions that hold once this transaction commits: never lowered. In order of name, so that two
 * transactions cannot wait for each other. Its row says `xid`, by which an unknown outcome can be asked for.
 */
export function storeStatement(writer: WriterIdentity, positions: ReadonlyMap<string, number>): BoundSql {
  const [first] = positions
  if (first !== undefined && positions.size === 1) return { sql: store, values: [writer.name, writer.epoch, ...first] }
  return storeAllStatement(writer, positions)
}

/** The same for any number of streams, also those that were never stored. */
export function storeAllStatement(writer: WriterIdentity, positions: ReadonlyMap<string, number>): BoundSql {
  const sorted = [...positions].sort(([a], [b]) => (a < b ? -1 : 1))
  return { sql: storeAll, values: [writer.name, writer.epoch, sorted.map(([name]) => name), sorted.map(([, position]) => position)] }
}

/** A FencedError where PostgreSQL refused because the epoch has passed, else undefined. */
export function asFenced(err: unknown): FencedError | undefined {
  if (err instanceof FencedError) return err
  const { code, statement } = (err ?? {}) as Partial<StatementError>
  if (code !== '22012' || (statement !== fenceName && statement !== storeName && statement !== storeAllName)) return undefined
  return new FencedError('another process has become the writer', { cause: err })
}

/** The stored position of each stream of a writer. */
export async function readStoredPositions(db: Queryable, writer: string): Promise<Map<string, number>> {
  const rows = await db.query(read, [writer])
  return new Map(rows.map((row) => [row.stream_name, row.stream_id]))
}

/** What became of a transaction whose COMMIT was not answered. */
export async function outcomeOf(db: Queryable, xid: string): Promise<'committed' | 'aborted' | 'in progress'> {
  const [row] = await db.query(outcome, [xid])
  // NULL: so long ago that PostgreSQL has forgotten it, which none of ours can be while somebody waits for it.
  return row?.status ?? 'aborted'
}
