import { expect, test } from '@jest/globals'
import type { CurrentStateDeltasRow, EventsRow, ReceiptsRow } from '@weft/replication'
import { ENGINE_LIMITS, SyncEngine } from '../src/engine.ts'
import { EventStore } from '../src/event-store.ts'
import { BEGINNING } from '../src/positions.ts'

const feedBytes = 400_000
const rooms = [1, 2, 3, 4].map((roomNid) => ({ roomNid, roomId: `!${roomNid}` }))

function engineOf() {
  const engine = new SyncEngine({
    store: new EventStore({ eventsByNids: async () => [] }, 1000),
    limits: { ...ENGINE_LIMITS, feedBytes },
  })
  const joined = rooms.map((room) => ({ ...room, roomVersion: '12', membership: 'join', position: 0, eventNid: room.roomNid }))
  engine.addView('@a:test', joined, new Map(), engine.expectView('@a:test'), BEGINNING)
  return engine
}

function event(position: number, room: (typeof rooms)[0]): EventsRow {
  const eventNid = 100 + position
  return { position, ...room, eventNid, eventId: `$${eventNid}`, type: 'm.room.message', sender: '@b:test', originServerTs: 1 } as EventsRow
}

test('feeds beyond their budget lose the rooms that were quiet for longest, the newest keep theirs', () => {
  const engine = engineOf()
  const text = Buffer.from(JSON.stringify({ content: { body: 'x'.repeat(60_000) } }))
  let position = 0
  for (let round = 0; round < 10; round++) {
    for (const room of rooms) engine.events([event(++position, room)], [text])
    expect(engine.feedBytes).toBeLessThanOrEqual(feedBytes)
  }
  const newest = engine.feeds.get(4)
  expect(newest?.events.at(-1)?.facts.position).toBe(position)
  for (const feed of engine.feeds.values()) {
    // What is left begins where PostgreSQL's part ends.
    const positions = feed.events.map(({ facts }) => facts.position)
    expect(feed.eventsFloor).toBeLessThanOrEqual(positions[0] ?? position)
    expect(feed.eventsFloor).toBeGreaterThan(0)
  }
})

test('what feeds keep beside events counts too, from the next sweep on', () => {
  const engine = engineOf()
  for (let position = 1; position <= 400; position++) {
    for (const room of rooms) {
      engine.currentStateDeltas([{ position, ...room, type: 'org.weft.test', stateKey: '', eventNid: position } as CurrentStateDeltasRow])
      if (position > 200) continue
      const receipt = { position, ...room, receiptType: 'm.read', userId: '@b:test', eventId: '$a', ts: 1 }
      engine.receipts([receipt as ReceiptsRow])
    }
  }
  // Only the last room stays active.
  engine.currentStateDeltas([{ position: 401, ...rooms[3], type: 'org.weft.test', stateKey: '', eventNid: 401 } as CurrentStateDeltasRow])
  engine.sweep(1)
  expect(engine.feedBytes).toBeLessThanOrEqual(feedBytes)
  expect(engine.feedBytes).toBeGreaterThan(0)
  const [first, , , last] = rooms.map(({ roomNid }) => engine.feeds.get(roomNid))
  expect(first).toMatchObject({ deltas: [], deltasFloor: 400, receipts: [], receiptsFloor: 200 })
  expect(last?.deltas).toHaveLength(401)
  const before = engine.feedBytes
  engine.sweep(2)
  expect(engine.feedBytes).toBe(before)
})
