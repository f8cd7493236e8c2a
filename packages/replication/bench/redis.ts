/**
 * CPU of announcing over Redis, publisher and follower in this process:
 * `REDIS_URL=redis://127.0.0.1:6379 node packages/replication/bench/redis.ts`.
 */
import { systemClock } from '@weft/kernel'
import { Redis } from 'ioredis'
import {
  EntryDecoder,
  RedisAnnouncer,
  RedisConnections,
  type ReplicationLog,
  type ReplicationObserver,
  streams,
  type WireEntry,
} from '../src/index.ts'

const url = process.env.REDIS_URL
if (url === undefined) throw new Error('REDIS_URL is not set')
const log: ReplicationLog = { debug() {}, info() {}, warn: console.warn, error: console.error }
let published = 0
const observer: ReplicationObserver = {
  published: (entries) => {
    published += entries
  },
  dropped: (why) => console.warn('dropped', why),
  received() {},
  poisoned() {},
  refilled() {},
  reactionFailed() {},
}
const redis = new RedisConnections({ url, log })
const admin = new Redis(url)
const announcer = new RedisAnnouncer({ redis, serverName: 'bench', clock: systemClock, log, observer })
const decoder = new EntryDecoder(Object.values(streams))
let rowsRead = 0
let wake = () => {}
const following = await announcer.follow({
  apply: (wire: WireEntry) => {
    for (const { rows } of decoder.decode(wire).announcements) rowsRead += rows.length
    wake()
  },
  resync: () => {},
})
following.begin()
const text = 'x'.repeat(500)
const row = (position: number) => ({
  position,
  eventNid: position,
  eventId: '$abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr',
  roomNid: 4711,
  roomId: '!abcdefghijklmnopqr:example.org',
  type: 'm.room.message',
  sender: '@user12345:example.org',
  depth: 12345,
  originServerTs: 1_700_000_000_000,
})
while (published === 0) {
  announcer.publish({ announcements: [] })
  await new Promise((resolve) => setTimeout(resolve, 20))
}

async function redisCpu(): Promise<number> {
  const info = await admin.info('cpu')
  return Number(/used_cpu_sys:([\d.]+)/.exec(info)![1]) + Number(/used_cpu_user:([\d.]+)/.exec(info)![1])
}

for (const batch of [1, 8, 32]) {
  const entries = 3000
  const before = { own: process.cpuUsage(), redis: await redisCpu() }
  rowsRead = 0
  const started = performance.now()
  for (let i = 0; i < entries; i++) {
    const rows = Array.from({ length: batch }, (_, index) => row(i * batch + index + 1))
    const arrived = new Promise<void>((resolve) => {
      wake = resolve
    })
    announcer.publish({
      announcements: [{ stream: 'events', instance: 'writer', prev: i * batch, token: (i + 1) * batch, rows, texts: rows.map(() => text) }],
    })
    await arrived
  }
  const own = process.cpuUsage(before.own)
  const rows = entries * batch
  const µs = (seconds: number) => ((seconds * 1e6) / rows).toFixed(1)
  console.log(
    `${batch} rows an entry: round trip ${((performance.now() - started) / entries).toFixed(3)} ms an entry; CPU µs a row: ` +
      `publisher and follower ${µs((own.user + own.system) / 1e6)}, Redis ${µs((await redisCpu()) - before.redis)} (${rowsRead} rows read)`,
  )
}
await following.stop()
await announcer.stop()
redis.stop()
admin.disconnect()
