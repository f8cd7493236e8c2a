import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { MatrixError } from '@weft/matrix'
import { type Queryable, StateGroupUsesReader, type StoredStateGroup, sql, stateWriter } from '@weft/storage'
import { Dice, growRoom } from '@weft/testkit'
import { StateGroupCollection } from '../src/index.ts'
import { encodeDelta } from '../src/state-delta.ts'
import { stateOfGroup } from '../src/state-groups.ts'
import { namedState, ReceiveRig } from './receive-rig.ts'

const never = new AbortController().signal
const local = '@local:weft.test'

const unused = sql<{ state_group: number }>(
  'test.unusedGroups',
  `SELECT state_group FROM state_groups g
   WHERE NOT EXISTS (SELECT FROM events e WHERE g.state_group IN (e.state_group, e.prev_state_group))
     AND NOT EXISTS (SELECT FROM state_groups n WHERE n.prev_state_group = g.state_group) ORDER BY 1`,
)
const eventGroups = sql<{ event_id: string; state_group: number }>(
  'test.eventGroups',
  'SELECT event_id, state_group FROM events WHERE state_group IS NOT NULL',
)
const dangling = sql<{ n: number }>(
  'test.danglingGroups',
  `SELECT count(*) AS n FROM (
     SELECT state_group FROM events UNION SELECT prev_state_group FROM events UNION SELECT prev_state_group FROM state_groups) AS u(g)
   WHERE g IS NOT NULL AND NOT EXISTS (SELECT FROM state_groups s WHERE s.state_group = g)
     AND NOT EXISTS (SELECT FROM events e WHERE e.event_nid = -g AND e.prev_state_group IS NOT NULL)`,
)
const insertGroup = sql(
  'test.insertGroup',
  'INSERT INTO state_groups (state_group, room_nid, prev_state_group, height, delta) VALUES ($1, $2, $3, $4, $5)',
)

let rig: ReceiveRig
let collection: StateGroupCollection
let collected = 0

beforeAll(async () => {
  rig = await ReceiveRig.start()
})
afterAll(async () => {
  await rig.stop()
})
beforeEach(() => {
  collection = collecting()
  collected = 0
})

function collecting(db: Queryable = rig.rooms.database.db): StateGroupCollection {
  return new StateGroupCollection({
    uses: new StateGroupUsesReader(rig.rooms.database.db),
    rooms: rig.rooms.rooms,
    heads: rig.rooms.heads,
    groupStates: rig.rooms.receiving.groupStates,
    db,
    clock: { setTimeout: (fn) => setImmediate(fn) },
    collected: (groups) => {
      collected += groups
    },
  })
}

async function unusedGroups(): Promise<number[]> {
  return (await rig.rooms.database.db.query(unused)).map((row) => row.state_group)
}

/** The state after each event that has one, by numbers. */
async function states(): Promise<Map<string, ReadonlyMap<number, number>>> {
  const rows = await rig.rooms.database.db.query(eventGroups)
  const byGroup = new Map<number, Map<number, number>>()
  for (const group of new Set(rows.map((row) => row.state_group))) byGroup.set(group, stateOfGroup(await rig.rooms.state.groupChain(group)))
  return new Map(rows.map((row) => [row.event_id, byGroup.get(row.state_group) as Map<number, number>]))
}

/** A group that nothing refers to, on another one. */
async function litter(roomId: string, prev: number | undefined): Promise<number> {
  const { db } = rig.rooms.database
  const [number] = await db.query<{ n: number }>({ name: 'test.nextGroup', text: `SELECT nextval('state_group_seq') AS n` })
  const room = await rig.rooms.rooms.byRoomId(roomId)
  await db.execute(insertGroup, [number?.n, room?.roomNid, prev ?? null, 1, encodeDelta(new Map([[1, 2]]))])
  return number?.n as number
}

/** Sends to a room in which quarrels may have taken away who may. */
async function say(roomId: string): Promise<void> {
  try {
    await rig.rooms.text(local, roomId, 'here')
  } catch (error) {
    if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error
  }
}

/** Looks at all that is there. */
async function collectAll(): Promise<void> {
  await collection.run(never)
  await collection.run(never)
}

describe.each(['1', '9', '12'])('room version %s', (version) => {
  test('what forks, refusals and an upgrade leave behind goes, and no event loses its state', async () => {
    const users = [rig.one.user('alice'), rig.one.user('anna'), rig.two.user('bob')]
    const dice = new Dice(100 + Number(version))
    const room = await rig.remoteRoom(version, { levels: { state_default: 0 } })
    const events = growRoom(room, { dice, steps: 60, users }).map(({ eventId }) => eventId)
    while (events.length > 0) {
      await rig.receive(room, events.splice(0, 1 + dice.below(6)))
      if (dice.chance(0.2)) rig.forget()
    }
    await say(room.roomId)
    const mine = await rig.rooms.room(local, { room_version: version })
    await rig.rooms.upgrade.upgrade(local, mine, { newVersion: '12', additionalCreators: [] })
    const before = await states()

    const left = await litter(mine, await litter(mine, undefined))
    rig.forget()
    expect(await unusedGroups()).toContain(left)
    await collectAll()
    expect(await unusedGroups()).toEqual([])
    expect(collected).toBeGreaterThanOrEqual(2)
    expect(await states()).toEqual(before)
    // Nothing is left to do, for who starts anew either.
    collection = collecting()
    collected = 0
    await collectAll()
    expect(collected).toBe(0)
  }, 240_000)
})

test('a group is left alone until the run after it was there', async () => {
  const roomId = await rig.rooms.room(local)
  const left = await litter(roomId, undefined)
  await collection.run(never)
  expect(await unusedGroups()).toContain(left)
  const younger = await litter(roomId, undefined)
  await collection.run(never)
  expect(await unusedGroups()).toEqual([younger])
  await collection.run(never)
  expect(await unusedGroups()).toEqual([])
})

test('a group that only the memory of its room refers to stays', async () => {
  const roomId = await rig.rooms.room(local)
  await rig.rooms.text(local, roomId, 'one')
  const head = await rig.rooms.heads.get(roomId)
  const groups = head.groups.clone()
  const group = await litter(roomId, undefined)
  const row = groups.append(group + 1, head.roomNid, new Map(), head.stateSize)
  const { sql: insert, values } = stateWriter.insertGroups([row as StoredStateGroup])
  await rig.rooms.database.db.execute(insert, values)
  head.setGroups(groups, undefined)
  await collectAll()
  expect(await unusedGroups()).toEqual([row.stateGroup])
  // The next event builds on it, and is lost without it.
  const topic = await rig.rooms.set(local, roomId, 'm.room.topic', { topic: 'two' })
  rig.forget()
  await collectAll()
  expect(await unusedGroups()).toEqual([])
  expect(Object.keys(await rig.stateAfter(topic))).toContain('m.room.topic|')
  expect((await rig.rooms.state.groupChain((await rig.graphRow(topic)).stateGroup as number)).map((one) => one.stateGroup)).toContain(
    row.stateGroup,
  )
})

test('so does one that something under way on a dropped head may refer to', async () => {
  const roomId = await rig.rooms.room(local)
  const head = await rig.rooms.heads.get(roomId)
  const left = await litter(roomId, undefined)
  await collection.run(never)
  head.pending++
  rig.rooms.heads.drop(head)
  await collection.run(never)
  expect(await unusedGroups()).toEqual([left])
  rig.rooms.heads.settled(head)
  await collection.run(never)
  expect(await unusedGroups()).toEqual([])
})

test('what was cut short goes on', async () => {
  const roomId = await rig.rooms.room(local)
  const left = [await litter(roomId, undefined), await litter(roomId, undefined)]
  const { db } = rig.rooms.database
  const failing = new Error('PostgreSQL is away')
  let fails = true
  collection = collecting({
    query: (statement, values) => (fails ? Promise.reject(failing) : db.query(statement, values)),
    execute: (statement, values) => db.execute(statement, values),
  })
  await collection.run(never)
  await expect(collection.run(never)).rejects.toBe(failing)
  await expect(collection.run(AbortSignal.abort(failing))).rejects.toBe(failing)
  expect(await unusedGroups()).toEqual(left)
  fails = false
  await collection.run(never)
  expect(await unusedGroups()).toEqual([])
})

test('it runs beside everything that writes', async () => {
  const dice = new Dice(7)
  const users = [rig.one.user('alice'), rig.two.user('bob'), rig.two.user('bert')]
  const rooms = await Promise.all(['3', '10', '12'].map((version) => rig.remoteRoom(version, { levels: { state_default: 0 } })))
  const mine = await rig.rooms.room(local)
  let going = true
  const sweeping = (async () => {
    while (going) {
      await collecting().run(never)
      await collection.run(never)
    }
  })()
  for (let step = 0; step < 16; step++) {
    const room = dice.pick(rooms)
    const made = growRoom(room, { dice, steps: 1 + dice.below(6), users })
    const sets = Array.from({ length: dice.below(4) }, (_, i) => rig.rooms.set(local, mine, 'test.state', { step, i }, `${dice.below(5)}`))
    const litterings = litter(dice.chance(0.5) ? mine : room.roomId, undefined)
    const received = rig.receive(room, dice.shuffle(made.map(({ eventId }) => eventId)))
    if (dice.chance(0.3)) rig.forget()
    await Promise.all([litterings, ...sets, received, rig.rooms.text(local, mine, `m${step}`), say(room.roomId)])
  }
  going = false
  await sweeping
  const before = await states()
  rig.forget()
  await collectAll()
  expect(await unusedGroups()).toEqual([])
  expect(collected).toBeGreaterThan(0)
  expect(await states()).toEqual(before)
  expect(await rig.rooms.database.db.query(dangling)).toEqual([{ n: 0 }])
  for (const { roomId } of rooms) {
    const seen = await rig.seenByPeers(roomId)
    for (const event of [...seen.events.values()].slice(-20)) expect(await rig.stateAfter(event.eventId)).toEqual(namedState(event.after))
    await say(roomId)
  }
}, 240_000)
