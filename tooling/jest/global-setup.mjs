import { startPostgres } from '../../packages/testkit/src/postgres.ts'
import { makeTemplate, serverVariable } from '../../packages/testkit/src/test-database.ts'

/** One PostgreSQL for the run, of its own (several runs do not meet), with a migrated template for testDatabase(). */
export default async function globalSetup() {
  const server = await startPostgres({ major: 18 })
  await makeTemplate(server.connection)
  process.env[serverVariable] = JSON.stringify(server.connection)
  globalThis.weftTestServer = server
}
