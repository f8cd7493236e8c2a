import { afterAll, beforeAll, describe } from '@jest/globals'
import {
  makeTemplate,
  runServer,
  startPostgres,
  type TestDatabase,
  type TestDatabaseOptions,
  type TestServer,
  testDatabase,
} from '@weft/testkit'
import type { ConnectionParts } from '../src/index.ts'

interface Server {
  readonly connection: ConnectionParts
  /** A migrated database on this server; closed after the tests. */
  database(options?: TestDatabaseOptions): Promise<TestDatabase>
}

/** Runs the tests on the oldest and on the newest PostgreSQL that weft promises to run on. */
export function onEveryPostgres(tests: (server: Server) => void): void {
  describe.each([14, 18] as const)('PostgreSQL %i', (major) => {
    let old: TestServer | undefined
    const opened: TestDatabase[] = []
    beforeAll(async () => {
      if (major === 18) return
      old = await startPostgres({ major })
      await makeTemplate(old.connection)
    })
    afterAll(async () => {
      for (const database of opened) await database.close()
      await old?.stop()
    })
    tests({
      get connection() {
        return old?.connection ?? runServer()
      },
      async database(options = {}) {
        const database = await testDatabase({ ...options, server: old?.connection })
        opened.push(database)
        return database
      },
    })
  })
}
