/**
 * What a woken /sync costs this process: 100 members of one room wait, an event arrives, all are answered. No HTTP, no PostgreSQL:
 * rows go to the reactions as a replica hands them over. Run: `pnpm exec node packages/sync/bench/woken.ts [members] [events]`.
 */
import { systemClock } from '@weft/kernel'
import type { CurrentStateDeltasRow, EventsRow } from '@weft/replication'
import { EventsReader, type Queryable, RelationsReader, RoomsReader, SyncReader } from '@weft/storage'
import { EventStore, type Positions, SyncEngine, SyncService } from '../src/index.ts'

const members = Number(process.argv[2] ?? 100)
const events = Number(process.argv[3] ?? 2000)
const users = Array.from({ length: members }, (_, i) => `@user${i}:bench`)
const roomNid = 1
const roomId = '!room:bench'

let statements = 0
const db: Queryable = {
  async query(statement, values = []) {
    statements++
    if (statement.name !== 'sync.userRooms') return statement.name === 'sync.sessionLives' ? ([{ id: 1 }] as never) : []
    const row = { room_nid: roomNid, room_id: roomId, room_version: '12', membership: 'join', event_nid: 1, event_stream_ordering: 1 }
    return [{ ...row, user: values[0] }] as never
  },
  async execute() {
    return 0
  },
}
const reader = new SyncReader(db)
let now: Positions = { events: 10, receipts: 0, typing: 0, accountData: 0, toDevice: 0 }
const engine = new SyncEngine({ store: new EventStore(reader.events, 8 * 1024 * 1024) })
const service = new SyncService({
  engine,
  reader,
  aggregations: { relations: new RelationsReader(db), events: new EventsReader(db), rooms: new RoomsReader(db) },
  filters: { get: async () => undefined },
  streams: { now: () => now, waitFor: async () => true, everHandedOut: async () => now.events },
  clock: systemClock,
  log: { warn() {} },
  observer: { answered() {}, viewLoaded() {}, lowered() {} },
})

const request = (userId: string, since: string | undefined) =>
  service.sync({
    userId,
    deviceId: 'DEV',
    accessTokenId: 1,
    since,
    filter: '{"room":{"timeline":{"limit":50}}}',
    fullState: false,
    useStateAfter: false,
    timeoutMs: 60_000,
    signal: new AbortController().signal,
  })

function announce(): void {
  const position = now.events + 1
  const row: EventsRow = {
    position,
    eventNid: position,
    eventId: `$event${position}abcdefghijklmnopqrstuvwxyzabcdefgh`,
    roomNid,
    roomId,
    type: 'm.room.message',
    sender: '@user0:bench',
    depth: position,
    originServerTs: 1_700_000_000_000,
  }
  const json = `{"content":{"body":"${'x'.repeat(100)}","msgtype":"m.text"},"origin_server_ts":1700000000000,"sender":"@user0:bench","type":"m.room.message"}`
  const deltas: CurrentStateDeltasRow[] = []
  engine.currentStateDeltas(deltas)
  engine.events([row], [Buffer.from(json)])
  now = { ...now, events: position }
}

const tokenOf = (text: string) => (JSON.parse(text) as { next_batch: string }).next_batch
const tokens = new Map<string, string>()
for (const userId of users) tokens.set(userId, tokenOf(await request(userId, undefined)))

let delivered = 0
let bytes = 0
async function round(): Promise<void> {
  const answers = users.map(async (userId) => {
    const text = await request(userId, tokens.get(userId))
    // Found without parsing, as the cost of the clients is not measured here.
    tokens.set(userId, text.slice(15, text.indexOf('"', 15)))
    delivered++
    bytes += text.length
  })
  while (service.waiting < members) await new Promise((resolve) => setImmediate(resolve))
  announce()
  await Promise.all(answers)
}
for (let i = 0; i < 200; i++) await round()
delivered = 0
bytes = 0
statements = 0
const before = process.cpuUsage()
const started = performance.now()
for (let i = 0; i < events; i++) await round()
const cpu = process.cpuUsage(before)
const micros = cpu.user + cpu.system
console.log(
  JSON.stringify({
    members,
    events,
    delivered,
    statements,
    bytesPerAnswer: Math.round(bytes / delivered),
    cpuMicrosPerDelivery: Number((micros / delivered).toFixed(2)),
    wallMicrosPerDelivery: Number((((performance.now() - started) * 1000) / delivered).toFixed(2)),
  }),
)
process.exit(0)
