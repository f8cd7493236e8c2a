import { ManualClock } from '@weft/kernel'
import { LocalAnnouncer, MemoryEphemeralStore, StreamWriter, streams, type TypingRow } from '@weft/replication'
import { EventsReader, MembershipsReader, RoomsReader, sql, TokensReader } from '@weft/storage'
import { type TestDatabase, testDatabase } from '@weft/testkit'
import {
  type AccountReads,
  type AccountServices,
  type AccountServicesOptions,
  accountReads,
  accountServices,
  fencedTransactions,
  PasswordHasher,
  StoredReceiptEvents,
  type StreamWrites,
  TokenAuthenticator,
  UiaSessions,
} from '../src/index.ts'

export const SERVER = 'weft.test'
const log = { debug() {}, info() {}, warn() {}, error() {} }
const observer = { published() {}, dropped() {}, received() {}, poisoned() {}, refilled() {}, reactionFailed() {} }

/** What a follower would see of a stream, in order. */
export type Announced = { readonly stream: string; readonly rows: readonly Record<string, unknown>[] }

/** The accounts of a writer on a database of its own, without HTTP. */
export class AccountsRig {
  readonly database: TestDatabase
  readonly clock = new ManualClock()
  readonly announced: Announced[] = []
  readonly acked: number[] = []
  readonly profileChanges: string[] = []
  readonly ephemeral: MemoryEphemeralStore
  readonly streamWriter: StreamWriter<typeof streams>
  readonly authenticator: TokenAuthenticator
  readonly accounts: AccountServices
  readonly reads: AccountReads
  readonly uiaSessions: UiaSessions
  readonly fenced: ReturnType<typeof fencedTransactions>
  fresh = true

  private constructor(database: TestDatabase, overrides: Partial<AccountServicesOptions>) {
    const { db } = database
    const { clock } = this
    this.database = database
    this.ephemeral = new MemoryEphemeralStore({ clock })
    this.authenticator = new TokenAuthenticator({ tokens: new TokensReader(db), clock, isFresh: () => this.fresh, cacheBytes: 4 << 20 })
    this.streamWriter = new StreamWriter({
      db,
      announcer: new LocalAnnouncer({ observer }),
      writer: { name: 'writer', epoch: 1 },
      streams,
      clock,
      log,
      reactions: {
        currentStateDeltas: () => {},
        deviceChanges: (rows) => {
          for (const row of rows) this.authenticator.forget(row.userId, row.deviceId)
          this.announced.push({ stream: 'device_changes', rows })
        },
      },
      onFenced: () => {},
    })
    this.fenced = fencedTransactions(db, this.streamWriter)
    const stores = { db, fenced: this.fenced, clock, streams: this.#watched() }
    this.uiaSessions = new UiaSessions({ ...stores, lifetimeMs: 3_600_000 })
    this.reads = accountReads({ db, rooms: new RoomsReader(db), memberships: new MembershipsReader(db) })
    this.accounts = accountServices({
      ...stores,
      settings: { serverName: SERVER, enabled: true, requiresToken: false },
      sharedSecret: 'shared secret',
      loginLimits: {},
      buckets: this.ephemeral,
      acks: { waitForAcks: async (_stream, position) => void this.acked.push(position) },
      typing: { setTyping: async (room, userId, timeoutMs) => this.#typed((await this.ephemeral.setTyping(room, userId, timeoutMs)).row) },
      events: new StoredReceiptEvents(new EventsReader(db)),
      onMemberFieldChanged: (userId) => this.profileChanges.push(userId),
      hasher: new PasswordHasher({ memoryCost: 8, timeCost: 1 }),
      ...overrides,
    })
  }

  static async start(overrides: Partial<AccountServicesOptions> = {}): Promise<AccountsRig> {
    const database = await testDatabase()
    await database.db.execute(
      sql('rig.epoch', `INSERT INTO writer_epoch (writer, epoch, instance, taken_ts) VALUES ('writer', 1, 'rig', 0)`),
    )
    const rig = new AccountsRig(database, overrides)
    await rig.streamWriter.start()
    return rig
  }

  async stop(): Promise<void> {
    await this.streamWriter.stop()
    await this.database.close()
  }

  user(name: string): string {
    return `@${name}:${SERVER}`
  }

  /** Registers a user with the password `secret` and one device. */
  async register(name: string, deviceId = 'DEVICE'): Promise<{ userId: string; accessToken: string; deviceId: string }> {
    const { userId, session } = await this.accounts.registration.register({ username: name, password: 'secret', device: device(deviceId) })
    return { userId, accessToken: session!.accessToken, deviceId: session!.deviceId }
  }

  /** Rows of a stream in the order in which they were committed. */
  rows(stream: string): Record<string, unknown>[] {
    return this.announced.filter((one) => one.stream === stream).flatMap((one) => [...one.rows])
  }

  /** A room with these members, joined unless told otherwise, as rows alone. */
  async room(roomNid: number, members: readonly string[], membership = 'join'): Promise<{ roomNid: number; roomId: string }> {
    const roomId = `!room${roomNid}:${SERVER}`
    await this.run(`INSERT INTO rooms (room_nid, room_id, room_version, creator) VALUES ($1, $2, '11', '@c:x') ON CONFLICT DO NOTHING`, [
      roomNid,
      roomId,
    ])
    for (const userId of members) {
      await this.run(
        `INSERT INTO room_memberships (user_id, room_nid, membership, event_nid, event_stream_ordering) VALUES ($1, $2, $3, 1, 1)`,
        [userId, roomNid, membership],
      )
    }
    return { roomNid, roomId }
  }

  /** An event in a room's timeline, as a row alone. */
  async event(roomNid: number, streamOrdering: number, content: object = {}): Promise<string> {
    const eventId = `$event${streamOrdering}:${SERVER}`
    await this.run(
      `INSERT INTO events (event_nid, room_nid, stream_ordering, depth, origin_server_ts, event_id, type, sender, json, envelope)
       VALUES ($1, $2, $1, 1, 1, $3, 'm.room.message', '@c:x', $4, '{}')`,
      [streamOrdering, roomNid, eventId, JSON.stringify({ content })],
    )
    return eventId
  }

  #statements = 0
  async run(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return this.database.db.query(sql(`rig.${this.#statements++}`, text), values)
  }

  #typed(row: TypingRow | undefined): void {
    if (row !== undefined) this.announced.push({ stream: 'typing', rows: [row] })
  }

  /** The stream writer, noting the rows of streams that the writer has no reaction for. */
  #watched(): StreamWrites {
    return {
      write: async (stream, count, fn) => {
        const rows = await this.streamWriter.write(stream, count, fn)
        if (stream.name !== 'device_changes') this.announced.push({ stream: stream.name, rows: [...rows] })
        return rows
      },
    }
  }
}

export function device(deviceId?: string) {
  return { deviceId, displayName: undefined, ip: '10.0.0.1', userAgent: 'jest' }
}
