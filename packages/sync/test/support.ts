import { type Clock, systemClock } from '@weft/kernel'
import {
  accountDataStream,
  deviceChangesStream,
  LocalAnnouncer,
  Replica,
  type ReplicationLog,
  type ReplicationObserver,
  receiptsStream,
  type Streams,
  StreamWriter,
  streams,
  type TypingRow,
  toDeviceStream,
  typingStream,
} from '@weft/replication'
import { type Database, EventsReader, FiltersReader, RelationsReader, RoomsReader, SyncReader, sql } from '@weft/storage'
import { type BuiltRoom, RoomBuilder, type TestDatabase, testDatabase } from '@weft/testkit'
import type { EngineLimits } from '../src/index.ts'
import { EventStore, ReplicaClock, SyncEngine, type SyncObserver, type SyncRequest, SyncService, syncReactions } from '../src/index.ts'

const silent: ReplicationLog = { debug() {}, info() {}, warn() {}, error() {} }

const takeEpoch = sql('test.takeEpoch', "INSERT INTO writer_epoch (writer, epoch, instance, taken_ts) VALUES ('writer', 1, 'test', 0)")
const insertToken = sql<{ id: number }>(
  'test.insertToken',
  'INSERT INTO access_tokens (token_hash, user_id, device_id, created_ts) VALUES ($1, $2, $3, 0) RETURNING id',
)
const deleteToken = sql('test.deleteToken', 'DELETE FROM access_tokens WHERE id = $1')
const insertDeviceChange = sql(
  'test.insertDeviceChange',
  'INSERT INTO device_changes_stream (stream_id, user_id, device_id, change, inserted_ts) VALUES ($1, $2, $3, $4, 0)',
)
const upsertAccountData = sql(
  'test.upsertAccountData',
  `INSERT INTO account_data (user_id, room_nid, account_data_type, stream_id, content) VALUES ($1, $2, $3, $4, $5)
   ON CONFLICT (user_id, room_nid, account_data_type) DO UPDATE SET stream_id = excluded.stream_id, content = excluded.content`,
)
const upsertReceipt = sql(
  'test.upsertReceipt',
  `INSERT INTO receipts_linearized (room_nid, receipt_type, user_id, thread_id, stream_id, event_id, receipt_ts)
   VALUES ($1, $2, $3, $4, $5, $6, $7)
   ON CONFLICT (room_nid, receipt_type, user_id, thread_id) DO UPDATE SET stream_id = excluded.stream_id, event_id = excluded.event_id`,
)
const insertMessage = sql(
  'test.insertMessage',
  'INSERT INTO device_inbox (user_id, device_id, stream_id, message_json) VALUES ($1, $2, $3, $4)',
)
const insertFilter = sql(
  'test.insertFilter',
  'INSERT INTO user_filters (user_id, filter_id, filter_hash, filter_json) VALUES ($1, $2, $3, $4)',
)
const forget = sql('test.forget', 'UPDATE room_memberships SET forgotten = true WHERE user_id = $1 AND room_nid = $2')

class Observer implements SyncObserver {
  readonly counts = { initial: 0, cold: 0, warm: 0, woken: 0, views: 0, lowered: 0 }
  answered(kind: 'initial' | 'cold' | 'warm') {
    this.counts[kind]++
  }
  woke(users: number) {
    this.counts.woken += users
  }
  viewLoaded() {
    this.counts.views++
  }
  lowered() {
    this.counts.lowered++
  }
}

const replicationObserver: ReplicationObserver = {
  published() {},
  dropped() {},
  received() {},
  poisoned() {},
  refilled() {},
  reactionFailed(stream) {
    throw new Error(`a reaction to ${stream} failed`)
  },
}

/** What a /sync answers, as far as tests look at it. */
export interface SyncAnswer {
  readonly next_batch: string
  readonly rooms?: Partial<Record<'join' | 'invite' | 'knock' | 'leave', Record<string, RoomAnswer>>>
  readonly account_data?: { readonly events: ClientEvent[] }
  readonly to_device?: { readonly events: ClientEvent[] }
}
export interface ClientEvent {
  readonly event_id: string
  readonly type: string
  readonly state_key?: string
  readonly sender: string
  readonly content: Record<string, unknown>
  readonly unsigned?: Record<string, unknown>
}
export interface RoomAnswer {
  readonly timeline: { readonly events: ClientEvent[]; readonly limited: boolean; readonly prev_batch: string }
  readonly state: { readonly events: ClientEvent[] }
  readonly state_after?: { readonly events: ClientEvent[] }
  readonly ephemeral: { readonly events: ClientEvent[] }
  readonly account_data: { readonly events: ClientEvent[] }
  readonly summary?: Record<string, unknown>
  readonly invite_state: { readonly events: ClientEvent[] }
  readonly knock_state: { readonly events: ClientEvent[] }
}

/** One sync process: engine, replica, service. A world may have several. */
export interface SyncProcess {
  readonly engine: SyncEngine
  readonly service: SyncService
  readonly replica: Replica<Streams, 'sync'>
  readonly observer: Observer
  readonly db: Database
}

/** About when the rooms' events say that they were sent: what is read in a test is new. */
export const WRITTEN_TS = 1_700_000_000_000

/** Drafts of state that several tests set. */
export const name = (sender: string, text: string) => ({ type: 'm.room.name', sender, stateKey: '', content: { name: text } })
export const visibility = (sender: string, value: string) => ({
  type: 'm.room.history_visibility',
  sender,
  stateKey: '',
  content: { history_visibility: value },
})

/** A database, the writing end of its streams, and sync processes that follow them. */
export class World implements AsyncDisposable {
  readonly test: TestDatabase
  readonly announcer: LocalAnnouncer
  readonly writer: StreamWriter<Streams>
  readonly rooms: RoomBuilder
  readonly processes: SyncProcess[] = []
  readonly #clock: Clock
  #typing = 1000

  private constructor(test: TestDatabase, announcer: LocalAnnouncer, writer: StreamWriter<Streams>, clock: Clock) {
    this.test = test
    this.announcer = announcer
    this.writer = writer
    this.#clock = clock
    this.rooms = new RoomBuilder({ db: test.db, streams: writer })
  }

  static async create(options: { readonly clock?: Clock } = {}): Promise<World> {
    const test = await testDatabase()
    await test.db.execute(takeEpoch)
    const announcer = new LocalAnnouncer({ observer: replicationObserver })
    const writer = new StreamWriter<Streams>({
      db: test.db,
      announcer,
      writer: { name: 'writer', epoch: 1 },
      streams,
      clock: systemClock,
      log: silent,
      reactions: { currentStateDeltas: () => {}, deviceChanges: () => {} },
      onFenced: () => {},
    })
    await writer.start()
    return new World(test, announcer, writer, options.clock ?? { ...systemClock, now: () => WRITTEN_TS })
  }

  /** Starts a sync process that reads everything from PostgreSQL: nobody polled there before. */
  async fresh(): Promise<SyncProcess> {
    const process = await this.process()
    await this.settle()
    return process
  }

  /** Starts a sync process. */
  async process(limits?: EngineLimits): Promise<SyncProcess> {
    const { db } = this.test
    const reader = new SyncReader(db)
    const observer = new Observer()
    const store = new EventStore(reader.events, 8 * 1024 * 1024)
    const engine = new SyncEngine({ store, limits, onWake: (views) => observer.woke(views) })
    const replica = new Replica<Streams, 'sync'>({
      class: 'sync',
      streams,
      reactions: syncReactions(engine),
      writer: 'writer',
      db,
      announcer: this.announcer,
      readKept: async () => ({ position: this.#typing, rows: [] }),
      clock: systemClock,
      log: silent,
      observer: replicationObserver,
    })
    await replica.start()
    const service = new SyncService({
      engine,
      reader,
      aggregations: { relations: new RelationsReader(db), events: new EventsReader(db), rooms: new RoomsReader(db) },
      filters: new FiltersReader(db),
      streams: new ReplicaClock(replica),
      clock: this.#clock,
      log: { warn() {} },
      observer,
    })
    const process = { engine, service, replica, observer, db }
    this.processes.push(process)
    return process
  }

  /** Until every process has come to what was written. */
  async settle(): Promise<void> {
    const at = this.writer.positions()
    for (;;) {
      const behind = this.processes.some(({ replica }) =>
        [...at].some(([name, position]) => (replica.positions().get(name) ?? 0) < position),
      )
      if (!behind) break
      await turn()
    }
    // Whoever was woken by the last rows goes on in the next turns.
    await turn()
    await turn()
  }

  async accountData(userId: string, type: string, content: object | undefined, room?: BuiltRoom): Promise<void> {
    const text = content === undefined ? undefined : JSON.stringify(content)
    await this.writer.write(accountDataStream, 1, async (tx, [position]) => {
      await tx.query(upsertAccountData, [userId, room?.roomNid ?? 0, type, position, text ?? null])
      return [{ position: position as number, userId, type, content: text, roomNid: room?.roomNid, roomId: room?.roomId }]
    })
  }

  async receipt(
    room: BuiltRoom,
    userId: string,
    eventId: string,
    options: { readonly type?: string; readonly threadId?: string } = {},
  ): Promise<void> {
    const receiptType = options.type ?? 'm.read'
    await this.writer.write(receiptsStream, 1, async (tx, [position]) => {
      await tx.query(upsertReceipt, [room.roomNid, receiptType, userId, options.threadId ?? '', position, eventId, 5])
      const { roomNid, roomId } = room
      return [{ position: position as number, roomNid, roomId, receiptType, userId, threadId: options.threadId, eventId, ts: 5 }]
    })
  }

  typing(room: BuiltRoom, ...userIds: string[]): void {
    const row: TypingRow = { position: ++this.#typing, roomNid: room.roomNid, roomId: room.roomId, userIds }
    this.writer.announceKeptInRedis(typingStream, [row])
  }

  async toDevice(userId: string, deviceId: string, ...bodies: string[]): Promise<void> {
    await this.writer.write(toDeviceStream, bodies.length, async (tx, positions) => {
      const rows = []
      for (const [index, body] of bodies.entries()) {
        const position = positions[index] as number
        const text = JSON.stringify({ type: 'm.test', sender: '@x:test', content: { body } })
        await tx.query(insertMessage, [userId, deviceId, position, text])
        rows.push({ position, userId, deviceId })
      }
      return rows
    })
  }

  async filter(userId: string, id: number, filter: object): Promise<string> {
    await this.test.db.execute(insertFilter, [userId, id, Buffer.from(String(id)), JSON.stringify(filter)])
    return String(id)
  }

  async forget(room: BuiltRoom, userId: string): Promise<void> {
    await this.test.db.execute(forget, [userId, room.roomNid])
  }

  async device(process: SyncProcess, userId: string, deviceId = 'DEV'): Promise<Device> {
    const hash = Buffer.from(`${userId}/${deviceId}/${Math.random()}`)
    const [row] = await this.test.db.query(insertToken, [hash, userId, deviceId])
    return new Device(process, userId, deviceId, row?.id ?? 0)
  }

  async endSession(device: Device): Promise<void> {
    await this.writer.write(deviceChangesStream, 1, async (tx, [position]) => {
      await tx.query(deleteToken, [device.tokenId])
      const row = { position: position as number, userId: device.userId, deviceId: device.deviceId, change: 'tokens_revoked' as const }
      await tx.query(insertDeviceChange, [row.position, row.userId, row.deviceId, row.change])
      return [row]
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { replica, service } of this.processes) {
      service.stop()
      await replica.stop()
    }
    await this.writer.stop()
    await this.announcer.stop()
    await this.test.close()
  }
}

/** A device that syncs. */
export class Device {
  readonly process: SyncProcess
  readonly userId: string
  readonly deviceId: string
  readonly tokenId: number
  since: string | undefined

  constructor(process: SyncProcess, userId: string, deviceId: string, tokenId: number) {
    this.process = process
    this.userId = userId
    this.deviceId = deviceId
    this.tokenId = tokenId
  }

  /** The same device at another process. */
  at(process: SyncProcess): Device {
    const device = new Device(process, this.userId, this.deviceId, this.tokenId)
    device.since = this.since
    return device
  }

  /** Syncs from where the last answer ended, and remembers where this one did. */
  async sync(options: Partial<SyncRequest> & { readonly json?: object } = {}): Promise<SyncAnswer> {
    const answer = await this.peek(options)
    this.since = answer.next_batch
    return answer
  }

  /** The same, as if the answer were lost. */
  async peek(options: Partial<SyncRequest> & { readonly json?: object } = {}): Promise<SyncAnswer> {
    const { json, ...rest } = options
    const text = await this.process.service.sync({
      userId: this.userId,
      deviceId: this.deviceId,
      accessTokenId: this.tokenId,
      since: this.since,
      filter: json === undefined ? undefined : JSON.stringify(json),
      fullState: false,
      useStateAfter: false,
      timeoutMs: 0,
      signal: new AbortController().signal,
      isGone: () => false,
      ...rest,
    })
    return JSON.parse(text) as SyncAnswer
  }

  /** Begins a long poll, and resolves once it waits: to a function that awaits its answer. */
  async wait(options: Partial<SyncRequest> & { readonly json?: object } = {}): Promise<() => Promise<SyncAnswer>> {
    const before = this.process.service.waiting
    const answer = this.sync({ timeoutMs: 60_000, ...options })
    answer.catch(() => {})
    while (this.process.service.waiting === before) {
      const done = await Promise.race([answer.then(() => true), turn().then(() => false)])
      if (done) throw new Error('the request did not wait')
    }
    return () => answer
  }
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export const bodies = (room: RoomAnswer | undefined): unknown[] => (room?.timeline.events ?? []).map((event) => event.content.body)
export const types = (events: readonly ClientEvent[] | undefined): string[] => (events ?? []).map((event) => event.type).sort()
export const ids = (events: readonly ClientEvent[] | undefined): string[] => (events ?? []).map((event) => event.event_id)
