import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { migrationsDir, type TestDatabase } from '@weft/testkit'
import { Database, migrate, migrationStatus, sql } from '../src/index.ts'
import { onEveryPostgres } from './servers.ts'

const history = sql(
  't.history',
  'SELECT migration_name, checksum, finished_at IS NOT NULL AS finished, rolled_back_at, applied_steps_count FROM _prisma_migrations ORDER BY 1',
)

onEveryPostgres((server) => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'weft-migrations-'))
  })
  afterAll(async () => {
    await rm(folder, { recursive: true })
  })

  async function release(name: string, migrations: Record<string, string>): Promise<{ dir: string }> {
    const dir = join(folder, name)
    for (const [migration, text] of Object.entries(migrations)) {
      await mkdir(join(dir, migration), { recursive: true })
      await writeFile(join(dir, migration, 'migration.sql'), text)
    }
    return { dir }
  }
  const first = { '20260101000000_init': 'CREATE TABLE a (id bigint); INSERT INTO a VALUES (1);' }
  const second = { ...first, '20260102000000_more': 'CREATE TABLE b (id bigint)' }
  const breaking = { ...second, '20260103000000_breaking_less': 'DROP TABLE a' }

  test('eight racing runners apply each migration once', async () => {
    const { connection } = await server.database({ empty: true })
    const runners = Array.from({ length: 8 }, (_, i) => new Database({ connection, applicationName: `runner ${i}` }))
    const applied = await Promise.all(runners.map((runner) => migrate(runner, { dir: migrationsDir })))
    const expected = (await readdir(migrationsDir, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
    expect(applied.flat().sort()).toEqual(expected.sort())
    const rows = await runners[0]!.query(history)
    expect(rows.map((row) => row.migration_name)).toEqual(expected.sort())
    expect(rows[0]).toMatchObject({
      checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
      finished: true,
      rolled_back_at: null,
      applied_steps_count: 1,
    })
    expect(await migrate(runners[1]!, { dir: migrationsDir })).toEqual([])
    await Promise.all(runners.map((runner) => runner.close()))
  })

  test('an older release runs on newer migrations unless one is breaking', async () => {
    const { db }: TestDatabase = await server.database({ empty: true })
    const old = await release('old', first)
    expect((await migrationStatus(db, old)).pending).toEqual(['20260101000000_init'])
    await migrate(db, old)
    await migrate(db, await release('new', second))
    expect(await migrate(db, old)).toEqual([])
    expect(await migrationStatus(db, old)).toEqual({ applied: ['20260101000000_init'], pending: [], unknown: ['20260102000000_more'] })
    await migrate(db, await release('newest', breaking))
    await expect(migrate(db, old)).rejects.toThrow('20260103000000_breaking_less')
    await expect(migrationStatus(db, old)).rejects.toThrow('newer release')
  })

  test('a migration that fails leaves nothing behind', async () => {
    const { db } = await server.database({ empty: true })
    const bad = await release('bad', { ...first, '20260102000000_bad': 'CREATE TABLE c (id bigint); SELECT nonsense' })
    await expect(migrate(db, bad)).rejects.toThrow(/20260102000000_bad failed: .*nonsense/)
    expect((await db.query(history)).map((row) => row.migration_name)).toEqual(['20260101000000_init'])
    expect(await db.query(sql('t.c', `SELECT to_regclass('c') AS c`))).toEqual([{ c: null }])
  })

  test('a database in another encoding is refused with the way out', async () => {
    const { db, connection } = await server.database({ empty: true })
    await db.execute(sql('t.latin', `CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`))
    const latin = new Database({ connection: { ...connection, database: 'latin' }, applicationName: 'test' })
    await expect(migrate(latin, { dir: migrationsDir })).rejects.toThrow('encoding LATIN1')
    await latin.close()
    await db.execute(sql('t.drop', 'DROP DATABASE latin'))
  })

  test('a history that is not ours is refused', async () => {
    const { db } = await server.database({ empty: true })
    await migrate(db, await release('ours', first))
    const edited = await release('edited', { '20260101000000_init': 'CREATE TABLE a (id integer)' })
    await expect(migrate(db, edited)).rejects.toThrow('changed afterwards')
    await db.execute(sql('t.unfinished', 'UPDATE _prisma_migrations SET finished_at = NULL'))
    await expect(migrate(db, await release('ours', first))).rejects.toThrow('did not finish')
    await expect(migrate(db, await release('misnamed', { nonsense: '' }))).rejects.toThrow('14 digits')
  })
})
