import { startRunServer } from '../../packages/testkit/src/run-server.ts'
import { serverVariable } from '../../packages/testkit/src/test-database.ts'

/** One PostgreSQL for the run, of its own (several runs do not meet), with a migrated template for testDatabase(). */
export default async function globalSetup() {
  const server = await startRunServer()
  process.env[serverVariable] = JSON.stringify(server.connection)
  globalThis.weftTestServer = server
}
