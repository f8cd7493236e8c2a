import { expect } from '@jest/globals'
import { Metrics, systemClock } from '@weft/kernel'
import { type JsonObject, makeSigner } from '@weft/matrix'
import { LocalAnnouncer, StreamWriter, streams } from '@weft/replication'
import {
  AccountDataReader,
  type Database,
  EventsReader,
  IdBlocks,
  MembershipsReader,
  RelationsReader,
  RoomDirectoryReader,
  RoomsReader,
  StateReader,
} from '@weft/storage'
import { type TestDatabase, testDatabase } from '@weft/testkit'
import {
  Aliases,
  type BucketLimit,
  type Buckets,
  CommitLoop,
  type CommitLoopOptions,
  DirectoryKeeper,
  EventWriter,
  type EventWriterOptions,
  FirstFormat,
  HeadCache,
  InviteRules,
  type KeyLookup,
  Memberships,
  Messages,
  ownKeys,
  type PublishedRooms,
  type RelationReads,
  RelationRules,
  RoomCreation,
  RoomPublication,
  type RoomReads,
  type RoomSettings,
  RoomUpgrade,
  roomMetrics,
  roomsReaders,
  StateKeys,
  Succession,
  type TimelineReads,
} from '../src/index.ts'
import { openReceiving, type Receiving, type ReceivingOptions } from '../src/receive/open-receiving.ts'

const SERVER = 'weft.test'
const silentObserver = { published() {}, dropped() {}, received() {}, poisoned() {}, refilled() {}, reactionFailed() {} }

export interface RigOptions {
  readonly headBytes?: number
  /** Of the servers that send to it. */
  readonly keys?: KeyLookup
  readonly resolution?: ReceivingOptions['resolution']
  readonly roomLimits?: ReceivingOptions['roomLimits']
  /** What the commit loop writes to, in the database's place. */
  readonly commits?: (db: Database) => CommitLoopOptions['db']
  readonly onUnsettled?: (error: unknown) => void
  readonly loop?: Pick<CommitLoopOptions, 'maxBatchEvents' | 'maxPending' | 'metrics'>
}

/** The rooms domain on a database of its own, without HTTP and replication behind it. */
export class RoomsRig {
  readonly database: TestDatabase
  readonly heads: HeadCache
  readonly loop: CommitLoop
  readonly writer: EventWriter
  readonly writerOptions: EventWriterOptions
  readonly messages: Messages
  readonly memberships: Memberships
  readonly creation: RoomCreation
  readonly aliases: Aliases
  readonly upgrade: RoomUpgrade
  readonly keeper: DirectoryKeeper
  readonly publication: RoomPublication
  readonly published: PublishedRooms
  /** Whose settings were taken from which room to which. */
  readonly carried: Array<[userId: string, from: string, to: string]> = []
  readonly reads: RoomReads
  readonly relations: RelationReads
  readonly timelines: TimelineReads
  /** Takes from a rate limit's bucket; none is ever empty unless a test says so. */
  buckets: (key: string, limit: BucketLimit, cost: number) => Awaited<ReturnType<Buckets['take']>> = () => ({ ok: true })
  readonly inviteLimits: { perIssuer?: BucketLimit; perRoom?: BucketLimit; perUser?: BucketLimit } = {}
  readonly events: EventsReader
  readonly state: StateReader
  readonly rooms: RoomsReader
  readonly streamWriter: StreamWriter<typeof streams>
  readonly receiving: Receiving
  #txn: number

  private constructor(database: TestDatabase, streamWriter: StreamWriter<typeof streams>, options: RigOptions, txn: number) {
    const { db } = database
    this.#txn = txn
    this.database = database
    this.streamWriter = streamWriter
    let last = 0
    // No two events of a test are of the same time, as those of people: of edits of one millisecond the id decides.
    const now = () => {
      last = Math.max(last + 1, Date.now())
      return last
    }
    const environment = {
      now,
      randomId: (n: number) => 'x'.repeat(n - 6) + String(this.#txn++).padStart(6, '0'),
      serverName: SERVER,
      defaultRoomVersion: '12',
    }
    this.rooms = new RoomsReader(db)
    this.events = new EventsReader(db)
    this.state = new StateReader(db)
    const membershipsReader = new MembershipsReader(db)
    const stateGroups = new IdBlocks(db, 'state_group_seq', 1000)
    this.heads = new HeadCache({
      rooms: this.rooms,
      events: this.events,
      state: this.state,
      stateGroups,
      maxBytes: options.headBytes ?? 32 * 1024 * 1024,
    })
    const stateKeys = new StateKeys(this.state, new IdBlocks(db, 'state_key_nid_seq', 100))
    this.loop = new CommitLoop({
      db: options.commits?.(db) ?? db,
      events: this.events,
      stateKeys,
      reserve: (n) => {
        const reservation = streamWriter.reserve(streams.events, n)
        return {
          ids: reservation.ids,
          positionStatements: () => reservation.positionStatements(),
          abandon: () => reservation.abandon(),
          complete: ({ events, texts, currentStateDeltas }) =>
            reservation.complete([
              { stream: streams.events, rows: events, texts },
              { stream: streams.currentStateDeltas, rows: currentStateDeltas },
            ]),
        }
      },
      onFailed: (head) => this.heads.drop(head),
      onSettled: (head) => this.heads.settled(head),
      onUnsettled: (error) => {
        if (options.onUnsettled === undefined) throw error
        options.onUnsettled(error)
      },
      isFenced: () => false,
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      now: environment.now,
      ...options.loop,
    })
    const firstFormat = new FirstFormat({ events: this.events, serverName: SERVER, randomId: environment.randomId })
    const numbers = { eventNids: new IdBlocks(db, 'event_nid_seq', 1000), stateGroups, roomNids: new IdBlocks(db, 'room_nid_seq', 10) }
    const signer = makeSigner(SERVER, 'ed25519:1', Buffer.alloc(32, 7))
    this.receiving = openReceiving({
      db,
      clock: systemClock,
      signer,
      serverName: SERVER,
      applicationName: 'rig',
      keys: options.keys ?? ownKeys(signer),
      heads: this.heads,
      loop: this.loop,
      rooms: this.rooms,
      state: this.state,
      stateKeys,
      firstFormat,
      ...numbers,
      figures: new Metrics().use(roomMetrics),
      ...(options.resolution && { resolution: options.resolution }),
      ...(options.roomLimits && { roomLimits: options.roomLimits }),
    })
    this.writerOptions = {
      heads: this.heads,
      loop: this.loop,
      events: this.events,
      stateKeys,
      firstFormat,
      ...numbers,
      signer,
      forks: this.receiving.forks,
      confirmWriter: async () => {},
    }
    this.writer = new EventWriter(this.writerOptions)
    const profiles = { memberProfile: async (userId: string) => ({ displayname: userId.slice(1, 2).toUpperCase() }) }
    const settings: RoomSettings = {
      carry: async (userId, from, to) => {
        this.carried.push([userId, from.roomId, to.roomId])
      },
    }
    const log = { warn: (fields: object) => expect(fields).toBeUndefined() }
    const succession = new Succession({ writer: this.writer, rooms: this.rooms, memberships: membershipsReader, settings, log })
    const invites = new InviteRules({
      memberships: membershipsReader,
      accountData: new AccountDataReader(db),
      buckets: { take: async (key, limit, cost = 1) => this.buckets(key, limit, cost) },
      limits: this.inviteLimits,
      serverName: SERVER,
    })
    this.memberships = new Memberships({
      succession,
      invites,
      writer: this.writer,
      rooms: this.rooms,
      events: this.events,
      memberships: membershipsReader,
      profiles,
      environment,
      db,
    })
    const relations = new RelationRules({ relations: new RelationsReader(db), events: this.events, rooms: this.rooms })
    this.messages = new Messages({
      writer: this.writer,
      events: this.events,
      rooms: this.rooms,
      relations,
      memberships: this.memberships,
      environment,
    })
    this.creation = new RoomCreation({ writer: this.writer, rooms: this.rooms, invites, profiles, environment })
    const directory = new RoomDirectoryReader(db)
    this.keeper = new DirectoryKeeper({ directory, db, clock: systemClock, log })
    this.publication = new RoomPublication({ writer: this.writer, rooms: this.rooms, keeper: this.keeper, db })
    this.upgrade = new RoomUpgrade({
      writer: this.writer,
      rooms: this.rooms,
      events: this.events,
      directory,
      profiles,
      succession,
      environment,
    })
    this.aliases = new Aliases({ writer: this.writer, rooms: this.rooms, db, environment })
    const readers = roomsReaders(db, SERVER, now)
    this.reads = readers.reads
    this.published = readers.published
    this.relations = readers.relations
    this.timelines = readers.timelines
  }

  static async start(options: RigOptions = {}): Promise<RoomsRig> {
    const database = await testDatabase()
    await database.db.query({
      name: 'rig.epoch',
      text: `INSERT INTO writer_epoch (writer, epoch, instance, taken_ts) VALUES ('writer', 1, 'rig', 0)`,
    })
    const log = { debug() {}, info() {}, warn() {}, error() {} }
    const streamWriter = new StreamWriter({
      db: database.db,
      announcer: new LocalAnnouncer({ observer: silentObserver }),
      writer: { name: 'writer', epoch: 1 },
      streams,
      clock: systemClock,
      log,
      reactions: { currentStateDeltas: () => {}, deviceChanges: () => {} },
      onFenced: () => {},
    })
    await streamWriter.start()
    return new RoomsRig(database, streamWriter, options, 0)
  }

  /** The same as after a restart: nothing is in memory. This one is not to be used any more. */
  restarted(): RoomsRig {
    return new RoomsRig(this.database, this.streamWriter, {}, this.#txn)
  }

  async stop(): Promise<void> {
    await this.receiving.close()
    await this.loop.drained()
    await this.streamWriter.stop()
    await this.database.close()
  }

  user(name: string): string {
    return `@${name}:${SERVER}`
  }

  /** Sends a text and answers its event id. */
  async text(userId: string, roomId: string, body: string, txnId = `t${this.#txn++}`): Promise<string> {
    return this.messages.send({
      roomId,
      type: 'm.room.message',
      content: { msgtype: 'm.text', body },
      sender: { userId, deviceId: 'DEV' },
      txn: { txnId, path: `/send/${roomId}/${txnId}` },
    })
  }

  async room(creator: string, request: Parameters<RoomCreation['create']>[1] = {}): Promise<string> {
    return (await this.creation.create(creator, request)).roomId
  }

  /** Sets state and answers the event's id. */
  async set(userId: string, roomId: string, type: string, content: JsonObject, stateKey = ''): Promise<string> {
    return this.messages.setState({ roomId, type, stateKey, content, sender: { userId, deviceId: 'DEV' } })
  }

  async redact(userId: string, roomId: string, eventId: string, content: JsonObject = {}): Promise<string> {
    const txnId = `t${this.#txn++}`
    return this.messages.redact({
      roomId,
      eventId,
      content,
      sender: { userId, deviceId: 'DEV' },
      txn: { txnId, path: `/redact/${roomId}/${eventId}/${txnId}` },
    })
  }

  /** The content of the current state at a key, as a user reads it. */
  async content(userId: string, roomId: string, type: string, stateKey = ''): Promise<JsonObject> {
    return (await this.reads.stateEvent(await this.reads.access(userId, roomId), type, stateKey)).content
  }

  /** The bodies a user reads in a room, oldest first. */
  async bodies(userId: string, roomId: string): Promise<string[]> {
    const access = await this.reads.access(userId, roomId)
    const page = await this.timelines.messages(access, { direction: 'f', limit: 1000 })
    return page.chunk
      .map((text) => JSON.parse(text))
      .filter((event) => event.type === 'm.room.message')
      .map((event) => event.content.body)
  }
}
