import { resolve } from 'node:path'
import { ensureTryOutConfig } from '../first-config.ts'
import { say } from '../say.ts'
import type { ReplicaCounts } from '../usage.ts'

export interface StartOptions {
  readonly config: string
  readonly split?: boolean
  readonly replicas?: ReplicaCounts
}

/** `weft start`: makes a configuration for trying out where there is none, then runs either layout in the foreground. */
export async function start(options: StartOptions): Promise<void> {
  const path = resolve(options.config)
  if (await ensureTryOutConfig(path)) {
    say(`${path} is new: for trying out on this machine, with registration open and without rate limits.`)
  }
  if (options.split) {
    const { startSplit } = await import('../split/start-split.ts')
    await startSplit(path, options.replicas ?? {})
  } else {
    const { startSingle } = await import('../single.ts')
    await startSingle(path)
  }
}
