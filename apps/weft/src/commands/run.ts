import { type Compose, runProcess } from '@weft/kernel'
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
  await runProcess(name, compose, { configPath: configPath(options.config) })
}
