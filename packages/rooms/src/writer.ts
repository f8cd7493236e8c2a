import { randomBytes } from 'node:crypto'
import { type Clock, type Metrics, pause } from '@weft/kernel'
import type { Signer } from '@weft/matrix'
import { FencedError, type Streams, type StreamWriter, streams } from '@weft/replication'
import {
  AccountDataReader,
  type Database,
  EventsReader,
  IdBlocks,
  MembershipsReader,
  type Queryable,
  RedactedEventsReader,
  RelationsReader,
  RoomDirectoryReader,
  RoomsReader,
  StateGroupUsesReader,
  StateReader,
} from '@weft/storage'
import { Aliases } from './aliases.ts'
import { CommitLoop } from './commit-loop.ts'
import { RoomCreation } from './create-room.ts'
import { RoomDirectory } from './directory.ts'
import { changesDirectory } from './directory-entry.ts'
import { DirectoryKeeper } from './directory-keeper.ts'
import type { RoomsEnvironment } from './environment.ts'
import { EventWriter } from './event-writer.ts'
import { FirstFormat } from './first-format.ts'
import { HeadCache } from './head-cache.ts'
import { type Buckets, type InviteLimits, InviteRules } from './invite-rules.ts'
import { Memberships, type Profiles } from './memberships.ts'
import { Messages } from './messages.ts'
import { roomMetrics } from './metrics.ts'
import { openReceiving } from './receive/open-receiving.ts'
import type { Receiver } from './receive/receiver.ts'
import type { KeyLookup } from './receive/signatures.ts'
import { RedactionErasure } from './redaction-erasure.ts'
import { RelationRules } from './relation-rules.ts'
import { RoomPublication } from './room-publication.ts'
import { RoomUpgrade } from './room-upgrade.ts'
import { StateGroupCollection } from './state-group-collection.ts'
import { StateKeys } from './state-keys.ts'
import { type RoomSettings, Succession, type SuccessionLog } from './succession.ts'

/** What the writing side of rooms stands on. */
export interface RoomsWriterOptions {
  readonly db: Database
  /** Runs statements in a transaction that this writer's epoch fences. */
  readonly fenced: Queryable
  readonly streamWriter: StreamWriter<Streams>
  readonly signer: Signer
  /** The public keys of servers, this one's included. */
  readonly keys: KeyLookup
  readonly applicationName: string
  readonly profiles: Profiles
  readonly settings: RoomSettings
  readonly buckets: Buckets
  readonly inviteLimits: InviteLimits
  readonly log: SuccessionLog
  readonly clock: Clock
  readonly metrics: Metrics
  readonly serverName: string
  readonly defaultRoomVersion: string
  /** Budget of the room heads in bytes. */
  readonly headBytes: number
  /** Throws unless this process is still the writer. */
  readonly confirmWriter: () => Promise<void>
  /** The outcome of a commit could not be found out: this writer writes no more. */
  readonly onUnsettled: (error: unknown) => void
}

/** The writing side of rooms. */
export interface RoomsWriter {
  readonly aliases: Aliases
  readonly creation: RoomCreation
  readonly directory: RoomDirectory
  readonly memberships: Memberships
  readonly messages: Messages
  readonly rooms: RoomsReader
  /** Takes events of other servers. */
  readonly receiver: Receiver
  readonly upgrade: RoomUpgrade
  /** Keeps the room directory's entries, and is to be asked to sweep now and then. */
  readonly keeper: DirectoryKeeper
  readonly publication: RoomPublication
  readonly erasure: RedactionErasure
  /** Deletes state groups that are not used any more, as often as it is asked to. */
  readonly collection: StateGroupCollection
  /** Resolves when all events that were taken are committed or refused. */
  drained(): Promise<void>
  /** Refuses what was taken and is not being committed, and waits for nothing that needs PostgreSQL. */
  abandon(reason: Error): Promise<void>
}

const ID_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Composes the writing side. */
export async function openRooms(options: RoomsWriterOptions): Promise<RoomsWriter> {
  const { db, clock, streamWriter } = options
  const environment: RoomsEnvironment = {
    now: () => clock.now(),
    randomId,
    serverName: options.serverName,
    defaultRoomVersion: options.defaultRoomVersion,
  }
  const rooms = new RoomsReader(db)
  const events = new EventsReader(db)
  const state = new StateReader(db)
  const eventNids = new IdBlocks(db, 'event_nid_seq', 1000)
  const stateGroups = new IdBlocks(db, 'state_group_seq', 1000)
  const heads = new HeadCache({ rooms, events, state, stateGroups, maxBytes: options.headBytes })
  await Promise.all([eventNids.fill(), stateGroups.fill()])
  const stateKeys = new StateKeys(state, new IdBlocks(db, 'state_key_nid_seq', 100))
  const figures = options.metrics.use(roomMetrics)
  const directory = new RoomDirectoryReader(db)
  const keeper = new DirectoryKeeper({ directory, db: options.fenced, clock, log: options.log })
  const loop = new CommitLoop({
    db,
    events,
    stateKeys,
    reserve(n) {
      const reservation = streamWriter.reserve(streams.events, n)
      return {
        ids: reservation.ids,
        positionStatements: () => reservation.positionStatements(),
        abandon: () => reservation.abandon(),
        complete: ({ events, texts, currentStateDeltas }) => {
          for (const { roomNid, type } of currentStateDeltas) if (changesDirectory(type)) keeper.note(roomNid)
          for (const { roomNid, redacts } of events) if (redacts !== undefined) keeper.note(roomNid)
          reservation.complete(
            currentStateDeltas.length === 0
              ? [{ stream: streams.events, rows: events, texts }]
              : [
                  { stream: streams.events, rows: events, texts },
                  { stream: streams.currentStateDeltas, rows: currentStateDeltas },
                ],
          )
        },
      }
    },
    onFailed: (head) => heads.drop(head),
    onSettled: (head) => heads.settled(head),
    onUnsettled: options.onUnsettled,
    isFenced: (error) => streamWriter.refused(error) instanceof FencedError,
    now: environment.now,
    pause: (ms) => pause(clock, ms),
    metrics: {
      batch({ events, statements, seconds }) {
        figures.events.inc(events)
        figures.batches.inc()
        figures.statements.inc(statements)
        figures.batchEvents.observe(events)
        figures.commitSeconds.observe(seconds)
      },
      waited: (seconds) => figures.commitWait.observe(seconds),
    },
  })
  const figuresEnd = [
    figures.heads.sample(() => heads.figures.rooms),
    figures.headBytes.sample(() => heads.figures.bytes),
    figures.headLoads.sample(() => heads.figures.loads),
    figures.queue.sample(() => loop.depth),
  ]
  const firstFormat = new FirstFormat({ events, serverName: options.serverName, randomId })
  const roomNids = new IdBlocks(db, 'room_nid_seq', 10)
  const receiving = openReceiving({
    ...options,
    ...{ heads, loop, rooms, state, stateKeys, eventNids, stateGroups, roomNids, firstFormat },
    figures,
  })
  const writer = new EventWriter({
    heads,
    loop,
    events,
    stateKeys,
    firstFormat,
    eventNids,
    roomNids,
    signer: options.signer,
    forks: receiving.forks,
    confirmWriter: options.confirmWriter,
  })
  const { profiles, fenced, settings, log } = options
  const reader = new MembershipsReader(db)
  const succession = new Succession({ writer, rooms, memberships: reader, settings, log })
  const { buckets, inviteLimits } = options
  const { serverName } = options
  const invites = new InviteRules({
    memberships: reader,
    accountData: new AccountDataReader(db),
    buckets,
    limits: inviteLimits,
    serverName,
  })
  const memberships = new Memberships({
    writer,
    rooms,
    events,
    memberships: reader,
    profiles,
    succession,
    invites,
    environment,
    db: fenced,
  })
  return {
    aliases: new Aliases({ writer, rooms, db: fenced, environment }),
    creation: new RoomCreation({ writer, rooms, invites, profiles, environment }),
    directory: new RoomDirectory(rooms, options.serverName),
    memberships,
    messages: new Messages({
      writer,
      events,
      rooms,
      relations: new RelationRules({ relations: new RelationsReader(db), events, rooms }),
      memberships,
      environment,
    }),
    rooms,
    receiver: receiving.receiver,
    keeper,
    erasure: new RedactionErasure({ redacted: new RedactedEventsReader(db), db: fenced, clock }),
    collection: new StateGroupCollection({
      uses: new StateGroupUsesReader(db),
      ...{ rooms, heads, clock },
      groupStates: receiving.groupStates,
      db: options.fenced,
      collected: (groups) => figures.stateGroupsCollected.inc(groups),
    }),
    publication: new RoomPublication({ writer, rooms, keeper, db: fenced }),
    upgrade: new RoomUpgrade({ writer, rooms, events, directory, profiles, succession, environment }),
    async drained() {
      await receiving.close()
      await loop.drained()
      await keeper.stop()
      for (const end of figuresEnd) end()
    },
    async abandon(reason) {
      loop.close(reason)
      keeper.cancel()
      for (const end of figuresEnd) end()
      await receiving.close(reason)
    },
  }
}

/** Random letters, each of log2(52) bits. */
function randomId(length: number): string {
  let id = ''
  while (id.length < length) {
    for (const byte of randomBytes(length)) {
      // 208 is 4 × 52: larger bytes would make the first letters more likely.
      if (byte < 208 && id.length < length) id += ID_ALPHABET.charAt(byte % 52)
    }
  }
  return id
}
