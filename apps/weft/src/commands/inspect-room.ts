import { dirname, resolve } from 'node:path'
import { loadConfig, OperatorError } from '@weft/kernel'
import { inspectRoom, type RoomInspection } from '@weft/rooms'
import { embeddedDatabaseUrl } from '../embedded-database.ts'
import { renderRoom } from '../room-report.ts'
import { say } from '../say.ts'
import { requireMigrated, withDatabaseOf } from '../schema.ts'
import { configPath, UsageError } from '../usage.ts'

/** `weft room inspect` @throws OperatorError where the database or the room is not there */
export async function inspect(name: string, options: { readonly json: boolean; readonly config?: string }): Promise<void> {
  if (!/^[!#]./.test(name))
    throw new UsageError(`${JSON.stringify(name)} is no room id (!…) and no alias (#…:server). In a shell, quote it.`)
  const room = await find(name, options.config)
  if (room === undefined) throw new OperatorError(`this server has no room ${name}`)
  say(options.json ? JSON.stringify(room, null, 2) : renderRoom(room, Date.now()))
}

async function find(name: string, given: string | undefined): Promise<RoomInspection | undefined> {
  const path = configPath(given)
  const config = loadConfig({ path, env: process.env, requires: [] })
  const url = config.database?.url ?? embeddedDatabaseUrl(resolve(dirname(path ?? ''), config.data_dir))
  await requireMigrated(url)
  return withDatabaseOf(url, 'weft room inspect', (db) => inspectRoom(db, name))
}
