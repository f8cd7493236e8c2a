import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { inspectRoom, type RoomInspection } from '../src/index.ts'
import { ReceiveRig } from './receive-rig.ts'

const local = '@local:weft.test'
let rig: ReceiveRig

beforeAll(async () => {
  rig = await ReceiveRig.start()
})
afterAll(async () => {
  await rig.stop()
})

const inspect = (name: string) => inspectRoom(rig.rooms.database.db, name)

test('a room of this server', async () => {
  const { room_alias_name, name } = { room_alias_name: 'here', name: 'Here' }
  const other = '@other:weft.test'
  const roomId = await rig.rooms.room(local, {
    ...{ room_alias_name, name, visibility: 'public' as const },
    creation_content: { type: 'm.space', additional_creators: [other] },
  })
  await rig.rooms.memberships.join('@guest:weft.test', roomId)
  await rig.rooms.memberships.leave('@guest:weft.test', roomId)
  const texts: string[] = []
  for (let i = 0; i < 40; i++) texts.push(await rig.rooms.text(local, roomId, `text ${i}`))
  for (let i = 0; i < 30; i++) await rig.rooms.set(local, roomId, 'test.state', { i }, `${i}`)
  await rig.rooms.redact(local, roomId, texts[0] as string)
  const last = await rig.rooms.text(local, roomId, 'last')

  const room = await inspect(roomId)
  expect(await inspect('#here:weft.test')).toEqual(room)
  expect(room).toMatchObject({
    ...{ roomId, roomVersion: '12', creators: [local, other], name: 'Here', roomType: 'm.space', joinRule: 'public' },
    ...{ canonicalAlias: '#here:weft.test', aliases: 1, aliasNames: ['#here:weft.test'], published: true, encrypted: false },
    members: { join: 1, leave: 1 },
    backwardExtremities: [],
    forwardExtremities: [{ eventId: last, type: 'm.room.message', sender: local }],
  })
  const events = room?.events
  expect(events).toMatchObject({ outliers: 0, rejected: 0, softFailed: 0, backfilled: 0, redacted: 1, notErased: 1, relations: 0 })
  // Create, creator, levels, alias, rules, visibility, name; guest's two; 30 of state. Then 41 texts and a redaction.
  expect(events).toMatchObject({ all: 81, timeline: 81, state: 39 })
  expect(room).toMatchObject({ stateEntries: 38, stateChanges: 39, stateGroups: { all: 39 } })
  expect(events?.jsonBytes).toBeGreaterThan(81 * 50)
  expect(events?.largestBytes).toBeGreaterThan(200)
  const { snapshots, deltas, ofEvents, longestChain, bytes } = (room as RoomInspection).stateGroups
  expect(snapshots + deltas + ofEvents).toBe(39)
  // Two of those that reach back sixteen.
  expect(ofEvents).toBe(36)
  expect(snapshots).toBeGreaterThan(0)
  expect(longestChain).toBeGreaterThan(2)
  expect(longestChain).toBeLessThanOrEqual(17)
  expect(bytes).toBeGreaterThan(32 * 2)
  expect((room?.positions?.last ?? 0) - (room?.positions?.first ?? 0)).toBeGreaterThanOrEqual(80)
})

test('a forked room of another server, with holes in its history', async () => {
  const room = await rig.remoteRoom('10')
  const alice = rig.one.user('alice')
  const tip = room.tips[0] as string
  const hidden = room.message(alice, 'nobody gives this', { prev: [tip] })
  const bad = room.add({ type: 'm.room.topic', sender: rig.two.user('bob'), stateKey: '', content: {}, prev: [tip] })
  const sides = [1, 2].map((x) => room.add({ type: 'm.room.topic', sender: alice, stateKey: '', content: { x }, prev: [tip] }))
  const beyond = room.message(alice, 'beyond', { prev: [hidden.eventId] })
  const ids = [bad.eventId, ...sides.map(({ eventId }) => eventId)]
  await rig.receive(room, ids)
  const source = {
    missingEvents: async () => [],
    events: async () => [],
    stateIdsBefore: async () => [...hidden.after.entries()].map(([, , id]) => id),
  }
  await rig.receiver.receive({ roomId: room.roomId, pdus: room.pdus([beyond.eventId]), source })

  const found = await inspect(room.roomId)
  expect(found).toMatchObject({ creators: [alice], events: { rejected: 1 }, backwardExtremities: [hidden.eventId] })
  const forward = found?.forwardExtremities.map(({ eventId }) => eventId)
  expect(forward?.sort()).toEqual(await rig.listedExtremities(room.roomId))
  expect(forward).toHaveLength(3)
})

test('what is not there', async () => {
  expect(await inspect('!nothing:weft.test')).toBeUndefined()
  expect(await inspect('#nothing:weft.test')).toBeUndefined()
})
