import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { renderTryOutConfig } from '@weft/kernel'
import { formatSigningKeyFile } from '@weft/matrix'
import { connectionUrl, Dedicated } from '@weft/storage'
import { type TestDatabase, testDatabase } from '@weft/testkit'
import { temporaryFolder, weft } from './weft.ts'

describe('weft run looks at the database before it serves', () => {
  const folder = temporaryFolder()
  let database: TestDatabase
  let connection: Dedicated

  beforeAll(async () => {
    database = await testDatabase()
    connection = await Dedicated.connect(database.connection, 'test')
    const config = renderTryOutConfig({
      serverName: 'weft.test',
      port: 1,
      internalSecret: 'a secret of this test',
      registrationSharedSecret: 'another secret of this test',
      signingKeyPath: 'signing.key',
      values: { database: { url: connectionUrl(database.connection) }, redis: { enabled: true, url: 'redis://127.0.0.1:1' } },
    })
    await writeFile(join(folder.path, 'homeserver.yaml'), config)
    await writeFile(join(folder.path, 'signing.key'), formatSigningKeyFile([{ keyId: 'ed25519:test', seed: randomBytes(32) }]))
  })

  afterAll(async () => {
    await connection.close()
    await database.close()
    await folder.remove()
  })

  test.each(['writer', 'sync'])('%s: a database with a breaking migration of a newer release is refused', async (name) => {
    await connection.script(
      `INSERT INTO "_prisma_migrations" ("id", "checksum", "finished_at", "migration_name") VALUES ('1', 'x', now(), '29990101000000_breaking_all')`,
    )
    const { code, out, err } = await weft(['run', name], { cwd: folder.path })
    await connection.script(`DELETE FROM "_prisma_migrations" WHERE "id" = '1'`)
    expect(code).not.toBe(0)
    expect(out + err).toContain('29990101000000_breaking_all')
    expect(out + err).toContain('Start the newer release')
  })

  test('a database that lacks a migration is refused, with the command that adds it', async () => {
    await connection.script(
      `DELETE FROM "_prisma_migrations" WHERE "migration_name" = (SELECT max("migration_name") FROM "_prisma_migrations")`,
    )
    const { code, out, err } = await weft(['run', 'sync'], { cwd: folder.path })
    expect(code).not.toBe(0)
    expect(out + err).toContain("Run 'weft migrate'")
  })
})
