import { expect, test } from '@jest/globals'
import { testDatabase } from '../../testkit/src/test-database.ts'
import { bind, sql } from '../src/index.ts'

test('a database from the template answers', async () => {
  const started = performance.now()
  await using t = await testDatabase()
  console.log('made in', performance.now() - started)
  const rows = await t.db.query(sql<{ n: number }>('t.one', 'SELECT count(*) AS n FROM users'))
  expect(rows).toEqual([{ n: 0 }])
  const ins = sql('t.ins', 'INSERT INTO users (name, creation_ts) VALUES ($1, $2) RETURNING name')
  const r = await t.db.commitPipeline([bind(ins, ['@a:b', 1]), bind(ins, ['@b:b', 2])])
  expect(r).toEqual([[{ name: '@a:b' }], [{ name: '@b:b' }]])
  expect(await t.db.transaction(async (tx) => tx.execute(sql('t.del', 'DELETE FROM users WHERE creation_ts < $1'), [5]))).toBe(2)
})
