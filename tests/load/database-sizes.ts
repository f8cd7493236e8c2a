import pg from 'pg'

export interface DatabasePlace {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
}

/** What a table takes on disk, in bytes. */
export interface TableSize {
  readonly table: string
  readonly rows: number
  /** With its TOAST table, free space map and visibility map. */
  readonly heap: number
  readonly indexes: Readonly<Record<string, number>>
  readonly total: number
}

/** All tables of a database after a plain VACUUM, largest first. */
export async function databaseSizes(place: DatabasePlace): Promise<TableSize[]> {
  const client = new pg.Client({ ...place, types: { getTypeParser: () => String } })
  await client.connect()
  try {
    await client.query('VACUUM (ANALYZE)')
    const { rows } = await client.query(`
      SELECT c.oid::regclass::text AS name, c.reltuples AS rows, pg_table_size(c.oid) AS heap, pg_total_relation_size(c.oid) AS total,
        (SELECT coalesce(json_object_agg(i.indexrelid::regclass::text, pg_relation_size(i.indexrelid)), '{}')
         FROM pg_index i WHERE i.indrelid = c.oid) AS indexes
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      ORDER BY total DESC`)
    return rows.map((row) => ({
      table: row.name,
      rows: Number(row.rows),
      heap: Number(row.heap),
      indexes: JSON.parse(row.indexes),
      total: Number(row.total),
    }))
  } finally {
    await client.end()
  }
}

/** The tables of Weft that a room's members and events are in; accounts are in others. */
export const ROOM_TABLES = [
  'events',
  'current_state_delta_stream',
  'current_state_events',
  'room_memberships',
  'state_groups',
  'state_keys',
  'event_txn_ids',
] as const

/** Bytes of all tables, or of some. */
export function totalOf(sizes: readonly TableSize[], tables?: readonly string[]): number {
  return sizes.reduce((sum, { table, total }) => sum + (tables === undefined || tables.includes(table) ? total : 0), 0)
}
