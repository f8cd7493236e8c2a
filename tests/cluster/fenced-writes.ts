import { type Queryable, sql } from '@weft/storage'

/** A row that was written by a transaction which did not hold the writer's epoch. */
export interface UnfencedWrite {
  readonly application_name: string
  readonly table_name: string
  /** The columns that changed; null for a row that came or went. */
  readonly columns: readonly string[] | null
}

/** Tables that say who the writer is, or that belong to the tools. */
const exempt = ['writer_epoch', 'writer_heartbeat', '_prisma_migrations', 'test_unfenced']

// At the commit of each transaction: a row's xmax is the transaction that holds it, or the set of those that share it.
const watch = `
CREATE TABLE test_unfenced (application_name text, table_name text, columns text[]);
CREATE FUNCTION test_note_unfenced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE holder xid;
BEGIN
  FOR holder IN SELECT xmax FROM writer_epoch LOOP
    IF holder::text = (pg_current_xact_id()::xid)::text THEN RETURN NULL; END IF;
    BEGIN
      IF EXISTS (SELECT 1 FROM pg_get_multixact_members(holder) AS m WHERE m.xid = pg_current_xact_id()::xid) THEN RETURN NULL; END IF;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  INSERT INTO test_unfenced VALUES (current_setting('application_name'), TG_TABLE_NAME, CASE WHEN TG_OP = 'UPDATE' THEN
    ARRAY(SELECT key FROM jsonb_each(to_jsonb(NEW)) AS a JOIN jsonb_each(to_jsonb(OLD)) AS b USING (key) WHERE a.value <> b.value ORDER BY key) END);
  RETURN NULL;
END $$`

const tables = sql<{ name: string }>(
  'test.tables',
  `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname <> ALL($1)`,
)
const seen = sql<{ application_name: string; table_name: string; columns: string[] | null }>(
  'test.unfenced',
  'SELECT DISTINCT application_name, table_name, columns FROM test_unfenced ORDER BY 1, 2, 3',
)

/** Looks at the commit of every transaction from now on whether it holds the epoch. */
export async function watchWrites(db: Queryable): Promise<void> {
  for (const [index, statement] of watch.split(/;\n(?=CREATE)/).entries()) await db.execute(sql(`test.watch${index}`, statement))
  for (const { name } of await db.query(tables, [exempt])) {
    await db.execute(
      sql(
        `test.watch.${name}`,
        `CREATE CONSTRAINT TRIGGER test_unfenced AFTER INSERT OR UPDATE OR DELETE ON "${name}"
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_note_unfenced()`,
      ),
    )
  }
}

/** What was written without it since. */
export function unfencedWrites(db: Queryable): Promise<UnfencedWrite[]> {
  return db.query(seen)
}
