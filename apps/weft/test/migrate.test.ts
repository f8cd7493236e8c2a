import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { connectionUrl, sql } from '@weft/storage'
import { freePort, migrationsDir, type TestDatabase, testDatabase } from '@weft/testkit'
import { temporaryFolder, weft } from './weft.ts'

let empty: TestDatabase
let folder: ReturnType<typeof temporaryFolder>
beforeAll(async () => {
  empty = await testDatabase({ empty: true })
  folder = temporaryFolder()
  await writeFile(join(folder.path, 'homeserver.yaml'), 'server_name: a.b\ninternal_secret: 0123456789abcdef\nredis: {enabled: true}\n')
})
afterAll(async () => {
  await empty.close()
  await folder.remove()
})

const on = (url: string, ...args: string[]) => weft(args, { cwd: folder.path, env: { DATABASE_URL: url } })

test('run refuses a database without this release’s migrations', async () => {
  const { code, out, err } = await on(connectionUrl(empty.connection), 'run', 'sync')
  expect([code, err]).toEqual([1, ''])
  expect(out).toMatch(
    / ERROR process fails\n {4}the database lacks \d+ migrations of this release, the first is \d+_init\. Run 'weft migrate'\.\n/,
  )
})

test('any number migrate an empty database at once: each migration is applied by one, and the others find it done', async () => {
  const url = connectionUrl(empty.connection)
  const ended = await Promise.all([on(url, 'migrate'), on(url, 'migrate'), on(url, 'migrate')])
  expect(ended.map(({ code, err }) => [code, err])).toEqual(ended.map(() => [0, '']))
  const names = (await readdir(migrationsDir, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  // They queue for the lock of each migration anew.
  const applied = ended.flatMap(({ out }) => {
    expect(out).toMatch(/^(Applied [\w, ]+|The database is up to date)\.\n$/)
    return /^Applied (.*)\.$/m.exec(out)?.[1]?.split(', ') ?? []
  })
  expect(applied.sort()).toEqual(names.sort())
  expect(await empty.db.query(sql('t.tables', `SELECT to_regclass('events') IS NOT NULL AS yes`))).toEqual([{ yes: true }])
})

test('a database that cannot be used is told in a line', async () => {
  const { host, user } = empty.connection
  const nowhere = `postgresql://u:secret-word@127.0.0.1:${await freePort()}/weft`
  const nameless = connectionUrl({ ...empty.connection, host, user, database: 'nobody_made_this' })
  const [refused, absent, none] = await Promise.all([
    on(nowhere, 'migrate'),
    on(nameless, 'migrate'),
    weft(['migrate'], { cwd: folder.path }),
  ])
  expect([refused.code, refused.err]).toEqual([
    1,
    expect.stringMatching(/^weft: the database cannot be used: .*ECONNREFUSED.* Look whether it runs/),
  ])
  expect(refused.err).not.toContain('secret-word')
  expect([absent.code, absent.err]).toEqual([
    1,
    expect.stringMatching(/^weft: the database cannot be used: .*"nobody_made_this" does not exist/),
  ])
  expect([none.code, none.err]).toEqual([1, expect.stringMatching(/^weft: no database is configured: give `database\.url`/)])
  for (const { err } of [refused, absent, none]) expect(err.trimEnd()).not.toContain('\n')
})
