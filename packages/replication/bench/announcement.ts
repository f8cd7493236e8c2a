/** CPU per row of announcements: `node packages/replication/bench/announcement.ts`. */
import { bytesOf, EntryDecoder, type EventsRow, encodeEntry, type OutgoingEntry, streams, type WireEntry } from '../src/index.ts'

const text = JSON.stringify({
  type: 'm.room.message',
  sender: '@user12345:example.org',
  content: { msgtype: 'm.text', body: 'x'.repeat(200) },
  origin_server_ts: 1_700_000_000_000,
  event_id: '$abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr',
  room_id: '!abcdefghijklmnopqr:example.org',
})
const row = (position: number): EventsRow => ({
  position,
  eventNid: 1_000_000 + position,
  eventId: '$abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr',
  roomNid: 4711,
  roomId: '!abcdefghijklmnopqr:example.org',
  type: 'm.room.message',
  sender: '@user12345:example.org',
  depth: 12345,
  originServerTs: 1_700_000_000_000,
  txnDeviceId: 'ABCDEFGHIJ',
  txnId: 'm1700000000000.1',
})

/** An entry of one commit with `rows` events. */
function entry(rows: number): OutgoingEntry {
  const positions = Array.from({ length: rows }, (_, index) => index + 1)
  const announcement = {
    stream: 'events',
    instance: 'writer',
    prev: 0,
    token: rows,
    rows: positions.map(row),
    texts: positions.map(() => text),
  }
  return { announcements: [announcement] }
}

/** A copy whose strings and buffers are new, as they come from a socket. */
function fresh(wire: WireEntry): WireEntry {
  return wire.map((part) => Buffer.from(part))
}

function measure(rows: number, run: () => unknown): string {
  const rounds = Math.ceil(200_000 / rows)
  for (let i = 0; i < rounds / 4; i++) run()
  const before = process.cpuUsage()
  for (let i = 0; i < rounds; i++) run()
  const used = process.cpuUsage(before)
  return ((used.user + used.system) / (rounds * rows)).toFixed(2)
}

const decoder = new EntryDecoder(Object.values(streams))
for (const rows of [1, 8, 32]) {
  const out = entry(rows)
  const wire = fresh(encodeEntry(out))
  const json = String(wire[1])
  console.log(
    `${rows} rows an entry (${Math.round(bytesOf(wire) / rows)} bytes a row): µs a row: encode ${measure(rows, () => encodeEntry(out))}, ` +
      `decode ${measure(rows, () => decoder.decode(wire))} (of that JSON.parse ${measure(rows, () => JSON.parse(json))})`,
  )
}
