import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { migrationsDir } from '@weft/testkit'
import { renderDatabaseDoc, retentionRules, sql, sweepExpired } from '../src/index.ts'
import { onEveryPostgres } from './servers.ts'

const schema = readFileSync(join(migrationsDir, '..', 'schema.prisma'), 'utf8')
const hour = 3_600_000

test('the dictionary says of each table how long its rows stay, and the sweep does it', () => {
  const said = new Map(
    [...schema.matchAll(/^\/\/\/ Kept: (\d+) (hours|days?)\.\nmodel (\w+)/gm)].map(([, n, unit, table]) => [
      table,
      Number(n) * (unit === 'hours' ? 1 : 24),
    ]),
  )
  expect(said).toEqual(new Map(retentionRules.map((rule) => [rule.table, rule.hours])))
})

test('the document explains every column, and an unexplained one is refused', () => {
  const text = renderDatabaseDoc(schema)
  expect(text).toContain('| stream_ordering | bigint, or NULL | Where it stands in the timeline')
  expect(text).toContain("| completed | text, default '{}' |")
  expect(text).toContain('- index (inserted_ts), BRIN')
  expect(() => renderDatabaseDoc('model a {\n  id BigInt @id\n}')).toThrow('line 1')
  expect(() => renderDatabaseDoc('/// A.\n/// Kept: 1 day.\nmodel a {\n  id BigInt @id\n}')).toThrow('a.id')
})

onEveryPostgres((server) => {
  test('rows whose time has passed go, in batches, and the others stay', async () => {
    const { db } = await server.database()
    const insert = sql(
      't.insert',
      `INSERT INTO event_txn_ids (key, event_nid, inserted_ts) SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), n, n FROM generate_series(1, 25) n`,
    )
    await db.execute(insert)
    const deleted = await sweepExpired(db, 24 * hour + 21, 10)
    expect(deleted.get('event_txn_ids')).toBe(20)
    expect(deleted.get('device_changes_stream')).toBe(0)
    expect(await db.query(sql('t.rest', 'SELECT min(inserted_ts) AS oldest FROM event_txn_ids'))).toEqual([{ oldest: 21 }])
  })
})
