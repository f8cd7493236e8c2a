/** Makes a Redis or Valkey program available to the tests, where this machine has none; says so when that cannot be. */
import { join } from 'node:path'
import { findRedisProgram, RedisUnavailable } from '@weft/replication'

const tell = (text: string) => process.stderr.write(`weft: ${text}\n`)

try {
  await findRedisProgram(join(import.meta.dirname, '..', '.cache', 'valkey'), tell)
} catch (error) {
  if (!(error instanceof RedisUnavailable)) throw error
  tell(`${error.message} The tests that need it are counted as skipped.`)
}
