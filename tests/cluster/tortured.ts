/** A sync process, or the one process of layout `single`, whose announcements arrive at their worst: `tortured.ts CLASS CONFIG`. */
import { composeSync } from '@weft/app-sync'
import { type Compose, runProcess } from '@weft/kernel'
import { type Backplane, localBackplane, redisBackplane, TortureAnnouncer } from '@weft/replication'
import { composeSingle } from '../../apps/weft/src/single.ts'

const [name = '', configPath = ''] = process.argv.slice(2)

const compositions: Readonly<Record<string, Compose>> = {
  async sync(context) {
    const { config, clock, log, metrics } = context
    const backplane = await redisBackplane({ url: config.redis?.url ?? '', serverName: config.server_name, clock, log, metrics })
    await composeSync(context, tortured(backplane, context.clock))
  },
  single: (context) => composeSingle(context, tortured(localBackplane(context), context.clock)),
}

function tortured(backplane: Backplane, clock: Parameters<Compose>[0]['clock']): Backplane {
  const { announcer } = backplane
  const torture = new TortureAnnouncer({ announcer, clock, random: Math.random, drop: 0.2, repeat: 0.2, shuffle: 0.2, delayMs: 20 })
  return { ...backplane, announcer: torture }
}

const compose = compositions[name]
if (compose === undefined) throw new Error(`nothing tortures ${name}`)
await runProcess(name, compose, { configPath })
