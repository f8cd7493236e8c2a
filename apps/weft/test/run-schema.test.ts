import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { renderTryOutConfig } from '@weft/kernel'
import { connectionUrl } from '@weft/storage'
import { type TestDatabase, testDatabase } from '@weft/testkit'
import { temporaryFolder, weft } from './weft.ts'

describe('weft run looks at the database before it serves', () => {
  const folder = temporaryFolder()
  let database: TestDatabase

  beforeAll(async () => {
    database = await testDatabase()
    const config = renderTryOutConfig({
      serverName: 'weft.test',
      port: 1,
      internalSecret: 'a secret of this test',
      registrationSharedSecret: 'another secret of this test',
      signingKeyPath: 'signing.key',
      values: { database: { url: connectionUrl(database.connection) }, redis: { enabled: true, url: 'redis://127.0.0.1:1' } },
    })
    await writeFile(join(folder.path, 'homeserver.yaml'), config)
  })

  afterAll(async () => {
    await database.drop()
    await folder.remove()
  })

  test.each(['writer', 'sync'])('%s: a database with a breaking migration of a newer release is refused', async (name) => {
    await database.db.query(
      `INSERT INTO "_prisma_migrations" ("id", "checksum", "finished_at", "migration_name") VALUES ($1, 'x', now(), '29990101000000_breaking_all')`,
      ['1'],
    )
    const { code, err } = await weft(['run', name], { cwd: folder.path })
    await database.db.query(`DELETE FROM "_prisma_migrations" WHERE "id" = $1`, ['1'])
    expect(code).not.toBe(0)
    expect(err).toContain('29990101000000_breaking_all')
    expect(err).toContain('Start the newer release')
  })

  test('a database that lacks a migration is refused, with the command that adds it', async () => {
    await database.db.query(`DELETE FROM "_prisma_migrations" WHERE "migration_name" = (SELECT max("migration_name") FROM "_prisma_migrations")`)
    const { code, err } = await weft(['run', 'sync'], { cwd: folder.path })
    expect(code).not.toBe(0)
    expect(err).toContain("Run 'weft migrate'")
  })
})
