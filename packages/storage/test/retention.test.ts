import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { configSchema } from '@weft/kernel'
import { migrationsDir } from '@weft/testkit'
import { renderDatabaseDoc, retentionRules, sql, sweepExpired } from '../src/index.ts'
import { onEveryPostgres } from './servers.ts'

const schema = readFileSync(join(migrationsDir, '..', 'schema.prisma'), 'utf8')
const HOUR_MS = 3_600_000
const uiaSessionMs = configSchema.parse({ server_name: 'a.b' }).ui_auth.session_timeout
const rules = retentionRules({ uiaSessionMs })

/** Each table with how long its dictionary says that rows stay; every model has such a line, with a reason or a bound. */
const kept = new Map(
  [...schema.matchAll(/((?:^\/\/\/ .*\n)*)^model (\w+) \{$/gm)].map(([, comment = '', table = '']) => [
    table,
    /^\/\/\/ Kept: (.+\.)$/m.exec(comment)?.[1],
  ]),
)

test('the dictionary says of each table how long its rows stay', () => {
  expect(kept.size).toBe(schema.match(/^model /gm)?.length)
  expect([...kept].filter(([, line]) => line === undefined)).toEqual([])
})

test('rows that go by age are swept after the time that the dictionary says', () => {
  const said = new Map(
    [...kept].flatMap(([table, line]) => {
      const time = /^(\d+) (hours?|days?)\b/.exec(line ?? '')
      return time === null ? [] : [[table, Number(time[1]) * (time[2]?.startsWith('hour') ? 1 : 24) * HOUR_MS] as const]
    }),
  )
  expect(said).toEqual(new Map(rules.map(({ table, keepMs }) => [table, keepMs])))
})

test('whatever is not kept for ever is deleted somewhere', () => {
  const source = readdirSync(join(import.meta.dirname, '..', 'src'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(import.meta.dirname, '..', 'src', name), 'utf8'))
    .join('\n')
  const swept = new Set(rules.map(({ table }) => table))
  const mortal = [...kept].filter(([table, line]) => !/for ever|as long as the account/.test(line ?? '') && !swept.has(table))
  expect(mortal.filter(([table]) => !new RegExp(`DELETE FROM ${table}\\b`).test(source))).toEqual([])
})

test('the document explains every column, and an unexplained one is refused', () => {
  const text = renderDatabaseDoc(schema)
  expect(text).toContain('| stream_ordering | bigint, or NULL | Where it stands in the timeline')
  expect(text).toContain("| completed | text, default '{}' |")
  expect(text).toContain('- index (inserted_ts), BRIN')
  expect(() => renderDatabaseDoc('model a {\n  id BigInt @id\n}')).toThrow('line 1')
  expect(() => renderDatabaseDoc('/// A.\n/// Kept: 1 day.\nmodel a {\n  id BigInt @id\n}')).toThrow('a.id')
})

/** A row of each table that is swept, written at $1; $2 tells rows apart. */
const inserts: Readonly<Record<string, string>> = {
  event_txn_ids: `INSERT INTO event_txn_ids (key, event_nid, inserted_ts) VALUES (int8send($2::bigint), 1, $1)`,
  request_txn_ids: `INSERT INTO request_txn_ids (key, inserted_ts) VALUES (int8send($2::bigint), $1)`,
  ui_auth_sessions: `INSERT INTO ui_auth_sessions (session_id, creation_time, operation, request_hash) VALUES ($2::bigint::text, $1, '', '')`,
  device_changes_stream: `INSERT INTO device_changes_stream (stream_id, user_id, change, inserted_ts) VALUES ($2, '@a:b', 'tokens_revoked', $1)`,
}

onEveryPostgres((server) => {
  test.each(rules.map((rule) => [rule.table, rule] as const))(
    '%s: rows whose time has passed go, in batches, and the others stay',
    async (table, rule) => {
      const { db } = await server.database()
      const insert = sql<never>(`t.insert.${table}`, inserts[table] as string)
      const now = 1_800_000_000_000
      for (let i = 0; i < 25; i++) await db.execute(insert, [now - rule.keepMs - 20 + i, i])
      expect(await sweepExpired(db, rule, now, { batch: 7 })).toBe(20)
      const [rest] = await db.query(sql<{ n: number }>(`t.rest.${table}`, `SELECT count(*)::int AS n FROM ${table}`))
      expect(rest).toEqual({ n: 5 })
      expect(await sweepExpired(db, rule, now)).toBe(0)
      await expect(sweepExpired(db, rule, now, { signal: AbortSignal.abort(new Error('drain')) })).rejects.toThrow('drain')
    },
  )
})
