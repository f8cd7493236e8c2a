import { type Clock, systemClock } from '@weft/kernel'
import { type Database, type Queryable, sql, type Tx } from '@weft/storage'
import { RedisUnavailable, startRedis, type TestRedis } from '@weft/testkit'
import {
  type Announcer,
  type CurrentStateDeltasRow,
  currentStateDeltasStream,
  type DeviceChangesRow,
  deviceChangesStream,
  type EventsRow,
  eventsStream,
  LocalAnnouncer,
  type ReactionsOf,
  type ReadKept,
  type ReceiptsRow,
  RedisAnnouncer,
  RedisConnections,
  Replica,
  type ReplicationLog,
  type ReplicationObserver,
  receiptsStream,
  type Streams,
  StreamWriter,
  streams,
  type WriterDatabase,
} from '../src/index.ts'

/** Keeps what was logged, so that a test can ask for it. */
export class TestLog implements ReplicationLog {
  readonly lines: { level: string; fields: object; message: string }[] = []
  debug(fields: object, message: string) {
    this.lines.push({ level: 'debug', fields, message })
  }
  info(fields: object, message: string) {
    this.lines.push({ level: 'info', fields, message })
  }
  warn(fields: object, message: string) {
    this.lines.push({ level: 'warn', fields, message })
  }
  error(fields: object, message: string) {
    this.lines.push({ level: 'error', fields, message })
  }
}

/** Counts what replication says of itself. */
export class TestObserver implements ReplicationObserver {
  readonly counts = { published: 0, dropped: 0, received: 0, poisoned: 0, refilled: 0, reactionFailed: 0 }
  published(entries: number) {
    this.counts.published += entries
  }
  dropped() {
    this.counts.dropped++
  }
  received() {
    this.counts.received++
  }
  poisoned() {
    this.counts.poisoned++
  }
  refilled(_stream: string, rows: number) {
    this.counts.refilled += rows
  }
  reactionFailed() {
    this.counts.reactionFailed++
  }
}

const takeEpoch = sql<{ epoch: number }>(
  'test.takeEpoch',
  `INSERT INTO writer_epoch (writer, epoch, instance, taken_ts) VALUES ('writer', 1, $1, 0)
   ON CONFLICT (writer) DO UPDATE SET epoch = writer_epoch.epoch + 1, instance = excluded.instance RETURNING epoch`,
)
const insertRoom = sql('test.insertRoom', "INSERT INTO rooms (room_nid, room_id, room_version, creator) VALUES ($1, $2, '12', '@a:x')")
const insertDeviceChange = sql(
  'test.insertDeviceChange',
  'INSERT INTO device_changes_stream (stream_id, user_id, device_id, change, inserted_ts) VALUES ($1, $2, $3, $4, 0)',
)
const insertEvent = sql(
  'test.insertEvent',
  `INSERT INTO events (event_nid, room_nid, stream_ordering, depth, origin_server_ts, event_id, type, state_key, sender, json, envelope)
   VALUES ($1, 1, $2, 1, 7, $3, $4, $5, '@a:x', $6, '{}')`,
)
const insertDelta = sql(
  'test.insertDelta',
  'INSERT INTO current_state_delta_stream (stream_id, room_nid, type, state_key, event_nid) VALUES ($1, 1, $2, $3, $4)',
)
const upsertReceipt = sql(
  'test.upsertReceipt',
  `INSERT INTO receipts_linearized (room_nid, receipt_type, user_id, thread_id, stream_id, event_id, receipt_ts)
   VALUES (1, 'm.read', $1, '', $2, '$e', 5)
   ON CONFLICT (room_nid, receipt_type, user_id, thread_id) DO UPDATE SET stream_id = excluded.stream_id`,
)

export async function becomeWriter(db: Queryable, instance = 'test'): Promise<number> {
  return (await db.query(takeEpoch, [instance]))[0]!.epoch
}

export async function makeRoom(db: Database): Promise<void> {
  await db.execute(insertRoom, [1, '!room'])
}

export async function startWriter(
  db: WriterDatabase,
  announcer: Announcer,
  options: { epoch?: number; log?: ReplicationLog; onFenced?: () => void } = {},
) {
  const writer = new StreamWriter<Streams>({
    db,
    announcer,
    writer: { name: 'writer', epoch: options.epoch ?? (await becomeWriter(db)) },
    streams,
    clock: systemClock,
    log: options.log ?? new TestLog(),
    reactions: { currentStateDeltas: () => {}, deviceChanges: () => {} },
    onFenced: options.onFenced ?? (() => {}),
  })
  await writer.start()
  return writer
}

/** Everything that a follower was told, in the order of telling. */
export class Told {
  readonly events: EventsRow[] = []
  readonly texts: (string | undefined)[] = []
  readonly deltas: CurrentStateDeltasRow[] = []
  readonly receipts: ReceiptsRow[] = []
  readonly deviceChanges: DeviceChangesRow[] = []
  readonly typing = new Map<string, string[]>()
  readonly order: string[] = []

  reactions(): ReactionsOf<'sync'> {
    return {
      events: (rows, texts) => {
        this.events.push(...rows)
        this.texts.push(...rows.map((_, index) => texts[index]?.toString()))
        this.order.push(...rows.map((row) => `event ${row.position}`))
      },
      currentStateDeltas: (rows) => {
        this.deltas.push(...rows)
        this.order.push(...rows.map((row) => `delta ${row.position}`))
      },
      receipts: (rows) => {
        this.receipts.push(...rows)
        this.order.push(...rows.map((row) => `receipt ${row.position}`))
      },
      typing: (rows) => {
        for (const row of rows) this.typing.set(row.roomId, row.userIds)
      },
      accountData: () => {},
      toDevice: () => {},
      deviceChanges: (rows) => {
        this.deviceChanges.push(...rows)
        this.order.push(...rows.map((row) => `device ${row.position}`))
      },
    }
  }
}

export interface ReplicaSettings {
  readonly log?: ReplicationLog
  readonly observer?: ReplicationObserver
  readonly readKept?: ReadKept
  readonly acknowledge?: (stream: string, position: number) => void
  readonly isIdle?: () => boolean
}

export function makeReplica(db: Database, announcer: Announcer, told: Told, settings: ReplicaSettings = {}) {
  return new Replica({
    class: 'sync',
    streams,
    reactions: told.reactions(),
    writer: 'writer',
    db,
    announcer,
    readKept: settings.readKept ?? (async () => undefined),
    clock: systemClock,
    log: settings.log ?? new TestLog(),
    observer: settings.observer ?? new TestObserver(),
    acknowledge: settings.acknowledge,
    isIdle: settings.isIdle,
  })
}

export function eventRow(position: number, type = 'm.room.message'): EventsRow {
  return {
    position,
    eventNid: position,
    eventId: `$event${position}`,
    roomNid: 1,
    roomId: '!room',
    type,
    sender: '@a:x',
    depth: 1,
    originServerTs: 7,
  }
}

export function eventText(position: number): string {
  return JSON.stringify({ type: 'm.room.message', content: { body: `text ${position} ☃` } })
}

export async function storeEvent(tx: Pick<Tx, 'execute'>, row: EventsRow, text = eventText(row.position)): Promise<void> {
  await tx.execute(insertEvent, [row.eventNid, row.position, row.eventId, row.type, row.stateKey, text])
}

export async function storeDelta(tx: Pick<Tx, 'execute'>, row: CurrentStateDeltasRow): Promise<void> {
  await tx.execute(insertDelta, [row.position, row.type, row.stateKey, row.eventNid])
}

/** Sends one event as the rooms' commit loop does: reserved, one pipeline, completed. */
export async function sendEvent(db: Database, writer: StreamWriter<Streams>, options: { deltas?: boolean } = {}): Promise<number> {
  const reservation = writer.reserve(eventsStream, 1)
  const position = reservation.ids[0]!
  const row = eventRow(position)
  const statements = [
    { sql: insertEvent, values: [row.eventNid, position, row.eventId, row.type, null, eventText(position)] },
    ...(options.deltas ? [{ sql: insertDelta, values: [position, 'm.room.name', '', row.eventNid] }] : []),
    ...reservation.positionStatements(),
  ]
  try {
    await db.commitPipeline(statements)
  } catch (err) {
    reservation.abandon()
    throw writer.refused(err)
  }
  reservation.complete([
    { stream: eventsStream, rows: [row], texts: [eventText(position)] },
    ...(options.deltas
      ? [
          {
            stream: currentStateDeltasStream,
            rows: [
              { position, roomNid: 1, roomId: '!room', type: 'm.room.name', stateKey: '', eventNid: row.eventNid, eventId: row.eventId },
            ],
          },
        ]
      : []),
  ])
  return position
}

export async function sendReceipt(writer: StreamWriter<Streams>, userId: string): Promise<number> {
  const [row] = await writer.write(receiptsStream, 1, async (tx, [position]) => {
    await tx.execute(upsertReceipt, [userId, position])
    return [{ position: position!, roomNid: 1, roomId: '!room', receiptType: 'm.read', userId, eventId: '$e', ts: 5 }]
  })
  return row!.position
}

export async function changeDevice(
  writer: StreamWriter<Streams>,
  userId: string,
  inTransaction: (tx: Tx) => Promise<void> = async () => {},
): Promise<number> {
  const rows = await writer.write(deviceChangesStream, 1, async (tx, [position]) => {
    await tx.execute(insertDeviceChange, [position, userId, 'DEV', 'tokens_revoked'])
    await inTransaction(tx)
    return [{ position: position!, userId, deviceId: 'DEV', change: 'tokens_revoked' as const }]
  })
  return rows[0]!.position
}

/** Resolves once `holds()`; asked after every turn of the event loop, for as long as the test may run. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Resolves once every replica stands where the writer stands. */
export async function settle(writer: StreamWriter<Streams>, ...replicas: { positions(): Map<string, number> }[]): Promise<void> {
  await until(() => {
    if (writer.busy) return false
    const written = [...writer.positions()]
    return replicas.every((replica) => {
      const read = replica.positions()
      return written.every(([stream, position]) => (read.get(stream) ?? position) >= position)
    })
  })
}

export interface Form {
  readonly name: string
  /** A new announcer on the same medium (another process). */
  announcer(observer?: ReplicationObserver, clock?: Clock): Announcer
  readonly redis: TestRedis | undefined
  stop(): Promise<void>
}

/** The announcer's two forms; Redis's is absent, with the reason printed, where there is none on this machine. */
export async function announcerForms(): Promise<Form[]> {
  const local = (): Form => {
    const one = new LocalAnnouncer({ observer: new TestObserver() })
    return { name: 'in process', announcer: () => one, redis: undefined, stop: () => one.stop() }
  }
  return [local(), ...(await redisForm())]
}

export async function redisForm(): Promise<(Form & { readonly redis: TestRedis })[]> {
  let redis: TestRedis
  try {
    redis = await startRedis()
  } catch (err) {
    if (!(err instanceof RedisUnavailable)) throw err
    process.stderr.write(`tests over Redis are skipped: ${err.message}\n`)
    return []
  }
  const connections = new RedisConnections({ url: redis.url, log: new TestLog() })
  const announcers: Announcer[] = []
  return [
    {
      name: 'over Redis',
      announcer: (observer = new TestObserver(), clock = systemClock) => {
        const announcer = new RedisAnnouncer({ redis: connections, serverName: 'test', clock, log: new TestLog(), observer })
        announcers.push(announcer)
        return announcer
      },
      redis,
      stop: async () => {
        await Promise.all(announcers.map((announcer) => announcer.stop()))
        connections.stop()
        await redis.stop()
      },
    },
  ]
}
