import { randomUUID } from 'node:crypto'
import { OperatorError } from '@weft/kernel'
import pg from 'pg'
import type { Database, StorageLog } from '../database.ts'
import type { Dedicated } from '../dedicated.ts'
import { ConnectionLost } from '../errors.ts'
import { isBreaking, type Migration, readMigrations } from './files.ts'

/** The database and this release do not fit together; the message says what to do. */
export class MigrationError extends OperatorError {
  override readonly name = 'MigrationError'
}

/** Names of migrations, in order. */
export interface MigrationStatus {
  readonly applied: readonly string[]
  readonly pending: readonly string[]
  /** Applied by a newer release; none of them breaking. */
  readonly unknown: readonly string[]
}

/** Where the migrations are. */
export interface MigrateOptions {
  /** prisma/migrations. */
  readonly dir: string
  readonly log?: StorageLog & { info(fields: object, message: string): void }
}

/** Prisma's own lock, so that `prisma migrate deploy` and this runner exclude each other. */
const lockKey = 72707369

const table = `CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
  "id" VARCHAR(36) PRIMARY KEY NOT NULL,
  "checksum" VARCHAR(64) NOT NULL,
  "finished_at" TIMESTAMPTZ,
  "migration_name" VARCHAR(255) NOT NULL,
  "logs" TEXT,
  "rolled_back_at" TIMESTAMPTZ,
  "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
  "applied_steps_count" INTEGER NOT NULL DEFAULT 0
)`

/**
 * Brings the database up to this release's migrations. Any number of processes may call it at once: each migration runs
 * with its row in `_prisma_migrations` in one transaction under a transaction-level lock (which PgBouncer cannot lose).
 * @returns the names that this call applied
 * @throws MigrationError where the database is ahead by a breaking migration, or its history is not ours
 */
export async function migrate(db: Database, options: MigrateOptions): Promise<string[]> {
  const migrations = await readMigrations(options.dir)
  const connection = await db.dedicated()
  try {
    if (await connection.isPooled()) {
      options.log?.warn({}, 'the database is reached through a pooler: the writer lock needs a direct connection or session pooling')
    }
    await requireSuitable(connection)
    const { pending } = statusOf(migrations, await history(connection))
    const applied: string[] = []
    for (const name of pending) {
      const migration = migrations.find((candidate) => candidate.name === name)!
      if (await apply(connection, migration, migrations)) {
        applied.push(name)
        options.log?.info({ migration: name }, 'migration applied')
      }
    }
    return applied
  } finally {
    await connection.close()
  }
}

/**
 * What is applied and what is not; changes nothing.
 * @throws MigrationError as migrate
 */
export async function migrationStatus(db: Database, options: MigrateOptions): Promise<MigrationStatus> {
  const migrations = await readMigrations(options.dir)
  const connection = await db.dedicated()
  try {
    return statusOf(migrations, await history(connection))
  } finally {
    await connection.close()
  }
}

/** Releases of PostgreSQL that weft is tested on begin with this one. */
const oldest = 14

async function requireSuitable(connection: Dedicated): Promise<void> {
  const [row] = await connection.script(
    `SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('server_encoding') AS encoding, current_database() AS name`,
  )
  const { major, encoding, name } = row as { major: number; encoding: string; name: string }
  if (major < oldest) throw new MigrationError(`this is PostgreSQL ${major}, and weft needs ${oldest} or newer.`)
  if (encoding !== 'UTF8') {
    throw new MigrationError(
      `the database ${name} has the encoding ${encoding}, in which not every message can be written. Make it anew: ` +
        `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`,
    )
  }
}

interface HistoryRow {
  readonly migration_name: string
  readonly checksum: string
  readonly finished: boolean
}

async function history(connection: Dedicated): Promise<HistoryRow[]> {
  const [exists] = await connection.script(`SELECT to_regclass('"_prisma_migrations"') IS NOT NULL AS yes`)
  if (exists!.yes !== true) return []
  return (await connection.script(
    `SELECT "migration_name", "checksum", "finished_at" IS NOT NULL AS finished FROM "_prisma_migrations"
     WHERE "rolled_back_at" IS NULL ORDER BY "migration_name"`,
  )) as HistoryRow[]
}

function statusOf(migrations: readonly Migration[], rows: readonly HistoryRow[]): MigrationStatus {
  const known = new Map(migrations.map((migration) => [migration.name, migration]))
  const unknown: string[] = []
  const applied = new Set<string>()
  for (const row of rows) {
    const name = row.migration_name
    if (!row.finished) {
      throw new MigrationError(`migration ${name} did not finish. Repair the database by hand, then run 'prisma migrate resolve' for it.`)
    }
    const migration = known.get(name)
    if (migration === undefined) {
      if (isBreaking(name)) {
        throw new MigrationError(`the database has the migration ${name}, with which this release cannot run. Start the newer release.`)
      }
      unknown.push(name)
    } else if (migration.checksum !== row.checksum) {
      throw new MigrationError(`migration ${name} is not the one that was applied to this database: its file was changed afterwards.`)
    } else applied.add(name)
  }
  return {
    applied: [...applied],
    pending: migrations.map((migration) => migration.name).filter((name) => !applied.has(name)),
    unknown,
  }
}

async function apply(connection: Dedicated, migration: Migration, migrations: readonly Migration[]): Promise<boolean> {
  await connection.script('BEGIN')
  try {
    await connection.script(`SELECT pg_advisory_xact_lock(${lockKey})`)
    await connection.script(`SET LOCAL client_min_messages = warning; ${table}`)
    const { pending } = statusOf(migrations, await history(connection))
    if (!pending.includes(migration.name)) {
      await connection.script('ROLLBACK')
      return false
    }
    await connection.script(migration.text)
    const values = [randomUUID(), migration.checksum, migration.name].map(pg.escapeLiteral).join(', ')
    await connection.script(
      `INSERT INTO "_prisma_migrations" ("id", "checksum", "migration_name", "finished_at", "applied_steps_count")
       VALUES (${values}, clock_timestamp(), 1)`,
    )
    await connection.script('COMMIT')
    return true
  } catch (err) {
    if (err instanceof ConnectionLost) throw err
    await connection.script('ROLLBACK').catch((failure: unknown) => {
      throw new AggregateError([err, failure], `migration ${migration.name} failed, and so did rolling it back`)
    })
    if (err instanceof pg.DatabaseError) {
      throw new MigrationError(`migration ${migration.name} failed: ${err.message}`, { cause: err })
    }
    throw err
  }
}
