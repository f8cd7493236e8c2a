import { type Compose, runProcess } from '@weft/kernel'
import { requireMigrated } from '../schema.ts'
import { configPath, UsageError } from '../usage.ts'

const compositions: Readonly<Record<string, () => Promise<{ compose: Compose }>>> = {
  router: () => import('@weft/app-router'),
  writer: () => import('@weft/app-writer'),
  sync: () => import('@weft/app-sync'),
}

/** `weft run CLASS`: one process, in the foreground. */
export async function run(name: string, options: { readonly config?: string }): Promise<void> {
  const load = Object.hasOwn(compositions, name) ? compositions[name] : undefined
  if (load === undefined) throw new UsageError(`there is no class ${name}: router, writer or sync`)
  // A process that `weft start --split` spawned ends with it, however that dies.
  if (process.connected) process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  const { compose } = await load()
  const afterSchema: Compose = async (context) => {
    if (context.config.database !== undefined) await requireMigrated(context.config.database.url)
    await compose(context)
  }
  // The router has no database.
  await runProcess(name, name === 'router' ? compose : afterSchema, { configPath: configPath(options.config) })
}
