import { type Clock, pause } from '@weft/kernel'
import { type Queryable, sql } from '@weft/storage'
import type { ReplicationLog } from './announcer.ts'
import { HeldLease } from './held-lease.ts'
import type { WriterIdentity } from './stored-positions.ts'

/** A standby asks for the lock about this often, less often the longer it has waited, and never in step with others (R40). */
const pollMs = 250
const slowestPollMs = 500
/** Once a holder's connections were told to end, their lock is free within moments: so often and so soon it is asked for then. */
const quickPolls = 10
const quickPollMs = 20
/** Missed heartbeats for this long: the holder is ended. */
const staleMs = 3000
const reconnectMs = 500

/** A connection of its own, on which the lock lives; `Dedicated` of packages/storage is one. */
export interface LeaseSession extends Queryable {
  readonly ended: Promise<Error | undefined>
  /** True where a pooler stands between: a session's lock would not be the session's. */
  isPooled(): Promise<boolean>
  close(): Promise<void>
}

/** Where a lease gets its session; `Database` of packages/storage is one. */
export interface LeaseDatabase {
  /** @param watched given up where PostgreSQL does not answer on it */
  dedicated(options: { readonly watched: boolean }): Promise<LeaseSession>
}

/** Whose lease, and by whom it is asked for. */
export interface WriterLeaseOptions {
  readonly db: LeaseDatabase
  /** The logical writer. */
  readonly name: string
  /** As all connections of this process tell PostgreSQL: a takeover ends an old holder's by this name. Unique to the process. */
  readonly applicationName: string
  readonly clock: Clock
  readonly log: ReplicationLog
}

const settings = sql(
  'lease.settings',
  `SELECT set_config(name, value, false) FROM (VALUES ('tcp_keepalives_idle', '2'), ('tcp_keepalives_interval', '1'),
     ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '3000'), ('lock_timeout', '500')) AS given(name, value)`,
)
const key = "hashtextextended('weft.writer.' || $1, 0)"
const tryLock = sql<{ locked: boolean; beat: string | null }>(
  'lease.tryLock',
  `SELECT pg_try_advisory_lock(${key}) AS locked,
     (SELECT instance || ' ' || beat_ts::text FROM writer_heartbeat WHERE writer = $1) AS beat`,
)
const readHolder = sql<{ pid: number; application_name: string }>(
  'lease.readHolder',
  `SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
   WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.datname = current_database()
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND ((l.classid::bigint << 32) | l.objid::bigint) = ${key}`,
)
const terminate = sql<{ ended: number }>(
  'lease.terminate',
  `SELECT count(pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity
   WHERE datname = current_database() AND pid <> pg_backend_pid() AND (pid = $1 OR (application_name = $2 AND $2 <> $3))`,
)
// Of the transactions of this process only those that write have an id.
const endOwnWrites = sql<{ ended: number }>(
  'lease.endOwnWrites',
  `SELECT count(pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity
   WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = $1 AND backend_xid IS NOT NULL`,
)
const readEpoch = sql<{ epoch: number; instance: string }>('lease.readEpoch', 'SELECT epoch, instance FROM writer_epoch WHERE writer = $1')
const takeEpoch = sql<{ epoch: number }>(
  'lease.takeEpoch',
  `INSERT INTO writer_epoch (writer, epoch, instance, taken_ts) VALUES ($1, 1, $2, $3)
   ON CONFLICT (writer) DO UPDATE SET epoch = writer_epoch.epoch + 1, instance = excluded.instance, taken_ts = excluded.taken_ts
   RETURNING epoch`,
)
const lockNotAvailable = '55P03'

/**
 * Who is the writer: a session advisory lock says who, an epoch that each of its transactions holds FOR SHARE makes a
 * late commit of an old one impossible, and heartbeats tell standbys that it lives. PostgreSQL is all it needs.
 */
export class WriterLease {
  readonly #options: WriterLeaseOptions

  constructor(options: WriterLeaseOptions) {
    this.#options = options
  }

  /**
   * Stands by until this process is the writer. Errors of PostgreSQL are waited out.
   * @throws Error when the signal aborts, or where a pooler keeps sessions from having locks of their own
   */
  async acquire(signal: AbortSignal): Promise<HeldLease> {
    const { db, log } = this.#options
    for (;;) {
      signal.throwIfAborted()
      let session: LeaseSession | undefined
      try {
        // A standby that waits for a machine that is gone would never take over.
        session = await db.dedicated({ watched: true })
        if (await session.isPooled()) throw new PooledError()
        await session.query(settings)
        return await this.#standBy(session, signal)
      } catch (err) {
        await session?.close()
        signal.throwIfAborted()
        if (err instanceof PooledError) throw err
        log.warn({ err }, 'the writer lease cannot be asked for now')
        await pause(this.#options.clock, jittered(reconnectMs), signal)
      }
    }
  }

  async #standBy(session: LeaseSession, signal: AbortSignal): Promise<HeldLease> {
    const { clock, name, log } = this.#options
    let seen: string | null | undefined
    let seenAt = clock.monotonic()
    let quick = 0
    for (let polls = 0; ; polls++) {
      signal.throwIfAborted()
      const [answer] = await session.query(tryLock, [name])
      if (answer!.locked) return await this.#takeOver(session, signal)
      if (polls === 0) log.info({ writer: name }, 'standing by')
      // Judged by this process's own clock alone: a beat that has not changed for so long.
      if (answer!.beat !== seen) {
        seen = answer!.beat
        seenAt = clock.monotonic()
      } else if (clock.monotonic() - seenAt >= staleMs) {
        await this.#end(session)
        seenAt = clock.monotonic()
        quick = quickPolls
      }
      // The last poll before the holder counts as gone comes no later than then.
      const left = staleMs - (clock.monotonic() - seenAt)
      const usual = Math.min(jittered(Math.min(pollMs * (1 + polls / 100), slowestPollMs)), left)
      await pause(this.#options.clock, quick-- > 0 ? quickPollMs : usual, signal)
    }
  }

  /** Ends all connections of the process that holds the lock and beats no more. */
  async #end(session: LeaseSession): Promise<void> {
    const { name, applicationName, log } = this.#options
    for (const holder of await session.query(readHolder, [name])) {
      const [row] = await session.query(terminate, [holder.pid, holder.application_name, applicationName])
      log.warn({ holder: holder.application_name, connections: row!.ended }, 'the writer has stopped beating: its connections are ended')
    }
  }

  /** The lock is ours: an old holder's connections go, then the epoch, which waits for what it may still have open. */
  async #takeOver(session: LeaseSession, signal: AbortSignal): Promise<HeldLease> {
    const { name, applicationName, clock, log } = this.#options
    const lease = await HeldLease.begin({ session, applicationName, name, clock })
    try {
      for (;;) {
        signal.throwIfAborted()
        const [before] = await session.query(readEpoch, [name])
        if (before !== undefined) await session.query(terminate, [null, before.instance, applicationName])
        try {
          const [taken] = await session.query(takeEpoch, [name, applicationName, Math.floor(clock.now())])
          const writer: WriterIdentity = { name, epoch: taken!.epoch }
          log.info({ ...writer, before: before?.instance }, 'this process is the writer')
          lease.writer = writer
          return lease
        } catch (err) {
          if ((err as { code?: string }).code !== lockNotAvailable) throw err
          log.warn({ before: before?.instance }, 'a transaction of the old writer is still open')
          // Its own, from before it lost the lease: on a connection that only PostgreSQL still believes in.
          if (before?.instance === applicationName) await session.query(endOwnWrites, [applicationName])
        }
      }
    } catch (err) {
      await lease.release()
      throw err
    }
  }
}

/** Up to a quarter shorter or longer. */
function jittered(ms: number): number {
  return ms * (0.75 + Math.random() / 2)
}

class PooledError extends Error {
  override readonly name = 'PooledError'
  constructor() {
    super(
      'the writer reaches PostgreSQL through a pooler (PgBouncer?), which breaks session locks: give it a direct connection, or pool_mode = session',
    )
  }
}
