import { describe, expect, test } from '@jest/globals'
import { bind, sql } from '../src/index.ts'
import { RowInsert } from '../src/row-insert.ts'
import { onEveryPostgres } from './servers.ts'

const insert = new RowInsert('t.insert', 'pg_temp.t', ['n', 'text', 'bytes'])
const create = sql('t.create', 'CREATE TEMPORARY TABLE t (at serial, n bigint, text text, bytes bytea) ON COMMIT DROP')
const all = sql<{ n: number; text: string | null; bytes: Buffer | null }>('t.all', 'SELECT n, text, bytes FROM pg_temp.t ORDER BY at')

describe('rows are inserted by few statements', () => {
  test.each([
    [0, []],
    [1, ['t.insert']],
    [13, ['t.insert.8', 't.insert.5']],
    [100, ['t.insert.32', 't.insert.32', 't.insert.32', 't.insert.4']],
  ])('%d', (rows, names) => {
    expect(insert.of(Array.from({ length: rows }, (_, n) => [n, '', null])).map(({ sql }) => sql.name)).toEqual(names)
  })
})

onEveryPostgres((server) => {
  test('any number of rows, in their order, with every kind of value, large ones too', async () => {
    const { db } = await server.database({ poolSize: 1 })
    for (const count of [1, 3, 31, 70]) {
      const rows = Array.from({ length: count }, (_, n) => [
        2 ** 53 - 1 - n,
        n % 3 === 0 ? undefined : `☃ "${'x'.repeat(n * 1000)}\\ '`,
        n % 2 === 0 ? null : Buffer.from([0, n]),
      ])
      const found = await db.transaction(async (tx) => {
        const results = await tx.pipeline([bind(create), ...insert.of(rows)].concat(bind(all)))
        return results.at(-1)
      })
      expect(found).toEqual(rows.map(([n, text, bytes]) => ({ n, text: text ?? null, bytes })))
    }
  })
})
