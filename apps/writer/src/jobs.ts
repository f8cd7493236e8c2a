import { type FencedTransactions, type MemberProfile, ProfilePropagation } from '@weft/accounts'
import { Jobs, type ProcessContext, pause } from '@weft/kernel'
import type { RoomsWriter } from '@weft/rooms'
import { asConnectionLost, type Database, MembershipsReader, retentionRules, sweepExpired } from '@weft/storage'

/** How often old rows are looked for. */
const RETENTION_MS = 3_600_000
/** State groups are left alone for as long at least. */
const COLLECTION_MS = 10 * 60_000
const PROPAGATION = 'profile-propagation'
/** What was noted and lost with a process is listed after at most so long. */
const DIRECTORY_SWEEP_MS = 60_000
const ERASURE_MS = 5 * 60_000
const RETRY_MS = 1000

/**
 * The background work of the active writer: profiles on their way to rooms, the room directory's sweep, and what is deleted when its
 * time has passed (old rows, redacted text, state groups that nothing refers to).
 */
export function startJobs(
  context: ProcessContext,
  parts: { readonly db: Database; readonly databaseUrl: string; readonly fenced: FencedTransactions; readonly rooms: RoomsWriter },
): { readonly onMemberFieldChanged: (userId: string) => void; stop(): Promise<void> } {
  const { log, metrics, clock, config, instance, lifecycle } = context
  const { db, fenced, rooms } = parts
  const jobs = new Jobs({ url: parts.databaseUrl, log, metrics, clock, applicationName: instance })
  const propagation = new ProfilePropagation({
    db,
    fenced,
    rooms: new MembershipsReader(db),
    refresher: {
      async refreshMemberProfile(userId: string, roomNid: number, profile: MemberProfile) {
        const [room] = await rooms.rooms.byNids([roomNid])
        if (room !== undefined) await rooms.memberships.refreshProfile(userId, room.roomId, profile)
      },
    },
    log,
  })
  jobs.define(PROPAGATION, ({ signal }) => propagation.run(signal))
  for (const rule of retentionRules({ uiaSessionMs: config.ui_auth.session_timeout })) {
    jobs.every(`retention.${rule.table}`, RETENTION_MS, async ({ signal }) => {
      const rows = await sweepExpired(fenced, rule, clock.now(), { signal })
      if (rows > 0) log.info({ table: rule.table, rows }, 'rows whose time has passed are deleted')
    })
  }
  jobs.every('room-directory', DIRECTORY_SWEEP_MS, async ({ signal }) => {
    const stale = await rooms.keeper.sweep(signal)
    if (stale > 0) log.info({ stale }, 'entries of the room directory were behind their rooms')
  })
  const keepMs = config.redaction_retention_period
  if (keepMs !== null) {
    jobs.every('redaction-erasure', ERASURE_MS, async ({ signal }) => {
      const erased = await rooms.erasure.run(keepMs, signal)
      if (erased > 0) log.info({ erased }, 'redacted events whose time has passed have lost their text')
    })
  }
  jobs.every('state-group-collection', COLLECTION_MS, async ({ signal }) => {
    const groups = await rooms.collection.run(signal)
    if (groups > 0) log.info({ groups }, 'state groups that nothing refers to are deleted')
  })
  const ring = () => {
    jobs
      .enqueue(PROPAGATION, {}, { dedupeKey: 'all' })
      .catch((err) => log.warn({ err }, 'a changed profile waits for the next start or change'))
  }
  const stopping = new AbortController()
  const begin = async () => {
    while (!stopping.signal.aborted) {
      try {
        await jobs.start()
        // What a predecessor left undone stands in its table.
        return ring()
      } catch (err) {
        if (stopping.signal.aborted) return
        if (asConnectionLost(err) === undefined) return lifecycle.fail(err)
        log.warn({ err }, 'jobs wait until PostgreSQL can be reached')
      }
      await pause(clock, RETRY_MS, stopping.signal)
    }
  }
  // Not waited for: they import and connect for a second on a busy machine, in which a new writer should serve.
  const started = begin()
  return {
    onMemberFieldChanged: ring,
    async stop() {
      stopping.abort()
      await started
      await jobs.stop()
    },
  }
}
