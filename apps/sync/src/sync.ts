import { Readable } from 'node:stream'
import { accountReads, LastSeen, showAccounts, TokenAuthenticator } from '@weft/accounts'
import { type JsonStream, registry, type SyncServices, serverInfo } from '@weft/api'
import type { ProcessContext } from '@weft/kernel'
import { acknowledgeTo, type Backplane, type Presence, Replica, readKeptFrom, replicationMetrics, streams } from '@weft/replication'
import { jsonChunks, roomsReaders } from '@weft/rooms'
import {
  type Database,
  EventsReader,
  FiltersReader,
  MembershipsReader,
  RelationsReader,
  RoomsReader,
  SyncReader,
  TokensReader,
} from '@weft/storage'
import { ENGINE_LIMITS, EventStore, ReplicaClock, SyncEngine, SyncService, syncMetrics, syncReactions } from '@weft/sync'

/** A sync process: everything that it is besides its HTTP server. */
export interface SyncPart {
  readonly services: SyncServices
  readonly authenticator: TokenAuthenticator
  readonly onAuthenticated: (requester: { userId: string; deviceId: string | undefined }, from: { ip: string; userAgent: string }) => void
  /** Of every request, before it is answered: it waits until this process has heard of what was announced before. */
  readonly onArrival: () => Promise<void> | undefined
  stop(): Promise<void>
}

const LAST_SEEN_FLUSH_MS = 60_000

/** Follows the streams and answers reads from memory and PostgreSQL. */
export async function openSync(
  context: ProcessContext,
  parts: {
    readonly db: Database
    readonly backplane: Backplane
    readonly presence: () => Presence | undefined
    /** True while no request is being answered here. */
    readonly isIdle?: () => boolean
  },
): Promise<SyncPart> {
  const { config, clock, log, metrics, instance } = context
  const { db, backplane } = parts
  const reads = accountReads({ db, rooms: new RoomsReader(db), memberships: new MembershipsReader(db) })
  const figures = metrics.use(syncMetrics)
  const reader = new SyncReader(db)
  const engine = new SyncEngine({
    store: new EventStore(reader.events, config.caches.events),
    limits: { ...ENGINE_LIMITS, feedBytes: config.caches.timelines },
    onWake: (users) => figures.wokenUsers.inc(users),
  })
  // The replica begins after both stand; until then nothing is fresh and every token is looked up.
  const authenticator = new TokenAuthenticator({
    tokens: new TokensReader(db),
    clock,
    isFresh: () => replica.fresh(),
    cacheBytes: config.caches.access_tokens,
  })
  const reactions = syncReactions(engine)
  const replica = new Replica({
    class: 'sync',
    streams,
    reactions: {
      ...reactions,
      deviceChanges(rows, texts, position) {
        // Before the engine ends their polls, so that a poll that comes back finds no cached token.
        for (const row of rows) authenticator.forget(row.userId, row.deviceId)
        reactions.deviceChanges(rows, texts, position)
      },
    },
    writer: 'writer',
    db,
    announcer: backplane.announcer,
    readKept: readKeptFrom(backplane.ephemeral),
    clock,
    log,
    observer: backplane.observer,
    isIdle: parts.isIdle,
    acknowledge: acknowledgeTo(backplane.acks, instance, parts.presence),
  })
  const sync = new SyncService({
    engine,
    reader,
    aggregations: { relations: new RelationsReader(db), events: new EventsReader(db), rooms: new RoomsReader(db) },
    filters: new FiltersReader(db),
    streams: new ReplicaClock(replica),
    clock,
    log,
    observer: {
      answered: (kind) => figures.answers.inc({ kind }),
      viewLoaded: () => figures.viewLoads.inc(),
      lowered: () => figures.loweredTokens.inc(),
    },
  })
  await replica.start()
  sync.start()
  const ends = [
    metrics.use(replicationMetrics).position.sample(() => [...replica.positions()].map(([stream, position]) => [{ stream }, position])),
    figures.views.sample(() => engine.views.size),
    figures.rooms.sample(() => engine.feeds.size),
    figures.waiting.sample(() => sync.waiting),
    figures.queued.sample(() => sync.queued),
    figures.cacheBytes.sample(() => [
      [{ cache: 'events' }, engine.store.bytes],
      [{ cache: 'timelines' }, engine.feedBytes],
      [{ cache: 'views' }, engine.viewBytes],
      [{ cache: 'lazy_members' }, sync.lazyMemberBytes],
      [{ cache: 'access_tokens' }, authenticator.cachedBytes],
    ]),
  ]
  const lastSeen = new LastSeen({ db, clock })
  const flushing = clock.setInterval(() => {
    lastSeen.flush().catch((err) => log.warn({ err }, 'when devices were last seen could not be written'))
  }, LAST_SEEN_FLUSH_MS)
  showAccounts(metrics, { authenticator })
  const rooms = roomsReaders(db, config.server_name, () => clock.now())
  return {
    services: { accountReads: reads, serverInfo: serverInfo(config, registry.unstableFeatures()), sync, rooms: { ...rooms, stream } },
    authenticator,
    onAuthenticated: (requester, from) => lastSeen.note(requester, from),
    onArrival: () => replica.attend(),
    async stop() {
      sync.stop()
      for (const end of ends) end()
      flushing.cancel()
      await lastSeen.flush().catch((err) => log.warn({ err }, 'when devices were last seen could not be written'))
      await replica.stop()
    },
  }
}

const stream: JsonStream = (before, parts, after) => ({
  stream: Readable.from(jsonChunks(before, parts, after), { objectMode: false }),
  contentType: 'application/json',
})
