import { type ProcessContext, pause } from '@weft/kernel'
import type { LocalSigner } from '@weft/matrix'
import { type Backplane, type HeldLease, isUnavailable, WriterLease } from '@weft/replication'
import type { KeyLookup } from '@weft/rooms'
import type { Database } from '@weft/storage'
import { type ActiveWriter, activate } from './writer.ts'

/** What a writer stands on. */
export interface WriterParts {
  readonly db: Database
  readonly backplane: Backplane
  readonly signer: LocalSigner
  /** The public keys of servers; without it this server's own are the only ones it knows. */
  readonly keys?: KeyLookup
}

/** What becomes of the process as a whole when it becomes the writer, and when it is the writer no more. */
export interface WriterEvents {
  readonly onActive: (writer: ActiveWriter) => void
  /** Called before anything of the writer is stopped. */
  readonly onStandby: () => void
}

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000
/** Who was the writer for so long did not lose the lease by becoming it. */
const SOUND_MS = 30_000

/**
 * The writer's part in a process: waits for the lease, becomes the writer, steps down when the lease is lost, and waits again. Ends
 * the process where it cannot become the writer for another reason than that PostgreSQL is away.
 */
export function runWriter(
  context: ProcessContext,
  parts: WriterParts & WriterEvents,
): {
  /** The first time that it is the writer. */
  readonly active: Promise<ActiveWriter>
  stop(): Promise<void>
} {
  const { clock, log, lifecycle, instance } = context
  const stopping = new AbortController()
  const first = Promise.withResolvers<ActiveWriter>()
  let writer: ActiveWriter | undefined

  /** One reign, from the lease to its loss. @returns how long it lasted, in ms */
  const reign = async (lease: HeldLease): Promise<number> => {
    const lost = Promise.withResolvers<unknown>()
    lease.lost.addEventListener('abort', () => lost.resolve(lease.lost.reason))
    const activated = await tryToActivate(context, parts, lease, lost.resolve)
    if (activated === undefined) return 0
    const since = clock.monotonic()
    writer = activated
    parts.onActive(activated)
    first.resolve(activated)
    const reason = await Promise.race([lost.promise, aborted(stopping.signal)])
    if (stopping.signal.aborted) return 0
    log.warn({ err: reason }, 'this process is the writer no more: it stands by')
    parts.onStandby()
    writer = undefined
    await activated.abandon(reason)
    return clock.monotonic() - since
  }

  const running = (async () => {
    const acquiring = new WriterLease({ db: parts.db, name: 'writer', applicationName: `weft ${instance}`, clock, log })
    for (let failures = 0; !stopping.signal.aborted; ) {
      const lasted = await reign(await acquiring.acquire(stopping.signal))
      failures = lasted >= SOUND_MS ? 0 : failures + 1
      await pause(clock, failures === 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS), stopping.signal)
    }
  })().catch((error: unknown) => {
    first.reject(error)
    if (!stopping.signal.aborted) lifecycle.fail(error)
  })
  // Whoever does not ask for it is told by the lifecycle.
  first.promise.catch(() => undefined)
  return {
    active: first.promise,
    async stop() {
      stopping.abort(new Error('the process stops'))
      await running
      await writer?.stop()
    },
  }
}

/** @returns undefined, with the lease given back, where PostgreSQL went away or another process was faster */
async function tryToActivate(
  context: ProcessContext,
  { db, backplane, signer, keys }: WriterParts,
  lease: HeldLease,
  onLost: (reason: unknown) => void,
): Promise<ActiveWriter | undefined> {
  try {
    return await activate(context, { db, databaseUrl: context.config.database?.url ?? '', backplane, lease, signer, keys, onLost })
  } catch (err) {
    // Not waited for: its connection may never answer.
    lease.release().catch((late: unknown) => context.log.debug({ err: late }, 'an end that came late'))
    if (!isUnavailable(err)) throw err
    context.log.warn({ err }, 'this process could not become the writer: it tries again')
    return undefined
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve())
  })
}
