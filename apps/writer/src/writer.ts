import {
  accountReads,
  accountServices,
  accountSettings,
  type FencedTransactions,
  fencedTransactions,
  LastSeen,
  StoredReceiptEvents,
  showAccounts,
  TokenAuthenticator,
  UiaSessions,
} from '@weft/accounts'
import { registry, serverInfo, type WriterServices } from '@weft/api'
import { bucketOf, dummyStage, passwordStage, registrationTokenStage, UserInteractiveAuth } from '@weft/http'
import type { ProcessContext } from '@weft/kernel'
import type { LocalSigner } from '@weft/matrix'
import { Acks, type Backplane, FencedError, type HeldLease, StreamWriter, streams, Typing } from '@weft/replication'
import { type KeyLookup, openRooms, ownKeys, type Receiver } from '@weft/rooms'
import { type Database, EventsReader, MembershipsReader, type Queryable, TokensReader } from '@weft/storage'
import { startJobs } from './jobs.ts'

/** The active writer: everything that it is besides its HTTP server. */
export interface ActiveWriter {
  /** Of its lease; higher than that of any writer before. */
  readonly epoch: number
  readonly services: WriterServices
  /** Takes events of other servers. */
  readonly receiver: Receiver
  readonly authenticator: TokenAuthenticator
  readonly onAuthenticated: (requester: { userId: string; deviceId: string | undefined }, from: { ip: string; userAgent: string }) => void
  /** Finishes what was taken, then gives the lease back. */
  stop(): Promise<void>
  /** The same for a lease that is lost: refuses what was taken, and waits for nothing that needs PostgreSQL. */
  abandon(reason: unknown): Promise<void>
}

const LAST_SEEN_FLUSH_MS = 60_000

/**
 * Becomes the writer under a lease that was just acquired: heals the stream positions, starts with empty caches, runs the jobs.
 * @throws ConnectionLost, FencedError
 */
export async function activate(
  context: ProcessContext,
  parts: {
    readonly db: Database
    readonly databaseUrl: string
    readonly backplane: Backplane
    readonly lease: HeldLease
    readonly signer: LocalSigner
    readonly keys?: KeyLookup | undefined
    /** It cannot be the writer any more, though the lease may not know it. */
    readonly onLost: (reason: unknown) => void
  },
): Promise<ActiveWriter> {
  const { config, clock, log, metrics } = context
  const { db, backplane, lease } = parts
  const authenticator = new TokenAuthenticator({
    tokens: new TokensReader(db),
    clock,
    // The writer hears of its own rows when they are committed; its lease says that nobody else commits any.
    isFresh: () => lease.held(),
    cacheBytes: config.caches.access_tokens,
  })
  const streamWriter = new StreamWriter({
    db,
    announcer: backplane.announcer,
    writer: lease.writer,
    streams,
    clock,
    log,
    reactions: {
      currentStateDeltas: (rows) => typing.endOfDeparted(rows),
      deviceChanges(rows) {
        for (const row of rows) authenticator.forget(row.userId, row.deviceId)
      },
    },
    onFenced: () => parts.onLost(new Error('another process has become the writer')),
  })
  await using begun = new AsyncDisposableStack()
  begun.defer(() => streamWriter.stop())
  await streamWriter.start()
  const fenced = fencedTransactions(db, streamWriter)
  const acks = new Acks({ bus: backplane.acks, discovery: backplane.discovery, clock })
  begun.defer(() => acks.stop())
  const typing = new Typing({ store: backplane.ephemeral, announcer: streamWriter, clock, log })
  begun.defer(() => typing.stop())
  await typing.start()
  // Jobs need the services and services ring for jobs: the bell is hung up once both stand.
  let ringForProfiles: (userId: string) => void = () => undefined
  const accounts = accountServices({
    db,
    streams: streamWriter,
    fenced,
    clock,
    ...accountSettings(config),
    buckets: backplane.ephemeral,
    acks,
    typing: {
      async setTyping(room, userId, timeoutMs) {
        await typing.setTyping(room, userId, timeoutMs === 0 ? undefined : timeoutMs)
      },
    },
    events: new StoredReceiptEvents(new EventsReader(db)),
    onMemberFieldChanged: (userId) => ringForProfiles(userId),
  })
  const rooms = await openRooms({
    db,
    fenced: queryable(fenced),
    streamWriter,
    signer: parts.signer,
    keys: parts.keys ?? ownKeys(parts.signer),
    applicationName: `weft ${context.instance}`,
    profiles: { memberProfile: (userId) => reads.profiles.memberProfile(userId) },
    settings: accounts.accountData,
    buckets: backplane.ephemeral,
    inviteLimits: {
      perIssuer: bucketOf(config.rc_invites.per_issuer),
      perRoom: bucketOf(config.rc_invites.per_room),
      perUser: bucketOf(config.rc_invites.per_user),
    },
    log,
    clock,
    metrics,
    serverName: config.server_name,
    defaultRoomVersion: config.default_room_version,
    headBytes: config.caches.room_heads,
    async confirmWriter() {
      if (!lease.held()) throw new FencedError('this process may not be the writer any more')
      const { sql, values } = streamWriter.fence()
      await db.query(sql, values).catch((error: unknown) => {
        throw streamWriter.refused(error)
      })
    },
    onUnsettled: parts.onLost,
  })
  const reads = accountReads({ db, rooms: rooms.rooms, memberships: new MembershipsReader(db) })
  const jobs = startJobs(context, { db, databaseUrl: parts.databaseUrl, fenced, rooms })
  ringForProfiles = jobs.onMemberFieldChanged
  const unshowAccounts = showAccounts(metrics, { authenticator, hasher: accounts.hasher })
  const uia = new UserInteractiveAuth(
    new UiaSessions({ db, fenced, clock, lifetimeMs: config.ui_auth.session_timeout }),
    [dummyStage, passwordStage(accounts.passwordLogin), registrationTokenStage(accounts.registration)],
    config.internal_secret ?? '',
  )
  const lastSeen = new LastSeen({ db, clock })
  const flush = () => lastSeen.flush().catch((err) => log.warn({ err }, 'when devices were last seen could not be written'))
  const flushing = clock.setInterval(() => void flush(), LAST_SEEN_FLUSH_MS)
  /** What ends at once, and needs nobody. */
  const fallSilent = () => {
    flushing.cancel()
    unshowAccounts()
    typing.stop()
    acks.stop()
  }
  begun.move()
  return {
    epoch: lease.writer.epoch,
    services: { accounts, accountReads: reads, serverInfo: serverInfo(config, registry.unstableFeatures()), uia, rooms },
    receiver: rooms.receiver,
    authenticator,
    onAuthenticated: (requester, from) => lastSeen.note(requester, from),
    async stop() {
      await rooms.drained()
      await jobs.stop()
      await flush()
      fallSilent()
      await streamWriter.stop()
      await lease.release()
    },
    async abandon(reason) {
      fallSilent()
      await rooms.abandon(new FencedError('this process is not the writer any more', { cause: reason }))
      // On connections that may never answer; whoever holds the epoch next is safe from what they still do.
      const late = [jobs.stop(), flush(), streamWriter.stop(), lease.release()]
      for (const ending of late) ending.catch((err: unknown) => log.debug({ err }, 'an end that came late'))
    },
  }
}

/** Each statement in a fenced transaction of its own. */
function queryable(fenced: FencedTransactions): Queryable {
  return {
    query: (statement, values) => fenced.transaction((tx) => tx.query(statement, values)),
    execute: (statement, values) => fenced.transaction((tx) => tx.execute(statement, values)),
  }
}
