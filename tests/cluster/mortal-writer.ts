/**
 * A writer that dies at a step of its pipeline: `mortal-writer.ts CONFIG`. It is the real one over a database, an announcer and a
 * signer that count the steps and kill the process, as `kill -9` would: in the step that the type of an event names
 * (`die.reserved`), once for each step in the folder that it runs in.
 */
import { writeFileSync } from 'node:fs'
import { composeWriter, loadSigner } from '@weft/app-writer'
import { type ProcessContext, runProcess } from '@weft/kernel'
import type { LocalSigner } from '@weft/matrix'
import { type Announcer, redisBackplane } from '@weft/replication'
import { type BoundSql, Database } from '@weft/storage'
import type { Step } from './pipeline-steps.ts'

/** Whether something has to do with the event that this step is to be died in. */
function isDoom(step: Step, text: string): boolean {
  return text.includes(`die.${step}`) && notYet(step)
}

/** True the first time that it is asked for a step, of all writers in this folder. */
function notYet(step: Step): boolean {
  try {
    writeFileSync(`died.${step}`, '', { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function die(): void {
  process.kill(process.pid, 'SIGKILL')
}

class MortalDatabase extends Database {
  override async commitPipeline(statements: readonly BoundSql[]) {
    const text = JSON.stringify(statements.map(({ values }) => values))
    if (isDoom('reserved', text)) die()
    if (isDoom('inserted', text)) {
      await this.transaction(async (tx) => {
        await tx.pipeline(statements)
        die()
      })
    }
    const committed = super.commitPipeline(statements)
    // The statements leave with this turn of the event loop, and the answer has not come.
    if (isDoom('sent', text)) setImmediate(die)
    const rows = await committed
    if (isDoom('committed', text)) die()
    return rows
  }
}

/** Judged, built and signed in one turn of the event loop, and queued: positions are reserved in the next. */
function mortalSigner(signer: LocalSigner): LocalSigner {
  return {
    ...signer,
    sign(bytes: Uint8Array) {
      if (isDoom('validated', Buffer.from(bytes).toString())) process.nextTick(die)
      return signer.sign(bytes)
    },
  }
}

/** From the announcement on that it is to lose it says nothing more: the acknowledgement goes out, and the test kills the process. */
function mortalAnnouncer(announcer: Announcer): Announcer {
  let mute = false
  return {
    publish(entry) {
      mute ||= isDoom('acknowledged', JSON.stringify(entry))
      if (!mute) announcer.publish(entry)
      if (isDoom('announced', JSON.stringify(entry))) setImmediate(die)
    },
    follow: (follower) => announcer.follow(follower),
    stop: () => announcer.stop(),
  }
}

async function compose(context: ProcessContext): Promise<void> {
  const { config, clock, log, metrics, instance } = context
  const { url = '', pool_size: poolSize } = config.database ?? {}
  const db = new MortalDatabase({ connection: url, applicationName: `weft ${instance}`, ...(poolSize && { poolSize }), log, metrics })
  const backplane = await redisBackplane({ url: config.redis?.url ?? '', serverName: config.server_name, clock, log, metrics })
  await composeWriter(context, {
    db,
    backplane: { ...backplane, announcer: mortalAnnouncer(backplane.announcer) },
    signer: mortalSigner(await loadSigner(config)),
  })
}

await runProcess('writer', compose, { configPath: process.argv[2] ?? '' })
