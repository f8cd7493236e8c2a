import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type JsonObject, parseJsonObject } from '@weft/matrix'
import { toDeviceLimits } from '../src/index.ts'
import { AccountsRig, device } from './rig.ts'

let rig: AccountsRig
let alice: string
let bob: string
let room: { roomNid: number; roomId: string }
beforeAll(async () => {
  rig = await AccountsRig.start()
  alice = (await rig.register('alice', 'A')).userId
  bob = (await rig.register('bob', 'B1')).userId
  await rig.accounts.sessions.create(bob, device('B2'))
  room = await rig.room(1, [alice])
})
afterAll(() => rig.stop())

describe('to-device messages', () => {
  let txn = 0
  const send = (messages: JsonObject, more: object = {}) =>
    rig.accounts.toDevice.send({ sender: alice, session: 'A', type: 'm.test', txnId: `t${txn++}`, messages, ...more })
  const inbox = async (deviceId: string) =>
    (await rig.run('SELECT message_json FROM device_inbox WHERE user_id = $1 AND device_id = $2 ORDER BY stream_id', [bob, deviceId])).map(
      (row) => row.message_json,
    )

  test('reach the devices that are named, with a doorbell each', async () => {
    await send({ [bob]: { B1: { n: 1 }, B2: { n: 2 } } })
    expect(await inbox('B1')).toEqual(['{"content":{"n":1},"sender":"@alice:weft.test","type":"m.test"}'])
    expect(await inbox('B2')).toEqual(['{"content":{"n":2},"sender":"@alice:weft.test","type":"m.test"}'])
    expect(rig.rows('to_device').map((row) => row.deviceId)).toEqual(['B1', 'B2'])
  })

  test('reach all devices by *, a named one with its own', async () => {
    await send({ [bob]: { '*': { all: true }, B2: { own: true } } })
    expect((await inbox('B1')).at(-1)).toContain('"all"')
    expect((await inbox('B2')).at(-1)).toContain('"own"')
  })

  test('are delivered once for a txnId of a device, a type and a path', async () => {
    const before = (await inbox('B1')).length
    const messages = { [bob]: { B1: {} } }
    await Promise.all([1, 2, 3].map(() => send(messages, { txnId: 'same' })))
    expect(await inbox('B1')).toHaveLength(before + 1)
    await send(messages, { txnId: 'same', type: 'm.other' })
    await send(messages, { txnId: 'same', session: 'A2' })
    expect(await inbox('B1')).toHaveLength(before + 3)
  })

  test('for nobody known go nowhere, without a word', async () => {
    const before = rig.rows('to_device').length
    await send({
      '@nobody:weft.test': { '*': {} },
      '@x:elsewhere.test': { Y: {} },
      nonsense: { Z: {} },
      [bob]: { NOT: {} },
      'a\0': { B: {} },
    })
    await send({})
    expect(rig.rows('to_device')).toHaveLength(before)
  })

  test('R43 own-property traps are users and devices like any other', async () => {
    const before = rig.rows('to_device').length
    await send(parseJsonObject(`{"__proto__":{"*":{}},"constructor":{"*":{}},"${bob}":{"__proto__":{},"constructor":{}}}`))
    expect(rig.rows('to_device')).toHaveLength(before)
  })

  test.each([{ '@bob:weft.test': [] }, { '@bob:weft.test': { B1: 'x' } }, { '@bob:weft.test': null }])(
    'must be objects: %j',
    async (messages) => {
      await expect(send(messages as unknown as JsonObject)).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    },
  )

  test('R26 are capped by their size, and so is an inbox', async () => {
    await expect(send({ [bob]: { B1: { x: 'x'.repeat(toDeviceLimits.messageBytes) } } })).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
    await expect(send({ [bob]: { B1: {} } }, { type: 'x'.repeat(256) })).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await rig.run(
      `INSERT INTO device_inbox (user_id, device_id, stream_id, message_json) SELECT $1, 'B1', -n, '{}' FROM generate_series(1, $2::int) n`,
      [bob, toDeviceLimits.inboxMessages],
    )
    const [full, free] = [(await inbox('B1')).length, (await inbox('B2')).length]
    await send({ [bob]: { '*': {} } })
    expect([await inbox('B1'), await inbox('B2')].map((one) => one.length)).toEqual([full, free + 1])
  })
})

describe('receipts', () => {
  const receipts = () => rig.rows('receipts')
  const set = (type: string, eventId: string, threadId?: unknown) =>
    rig.accounts.receipts.set(alice, room, type, eventId, threadId as string | undefined)

  test('move forwards only, each thread and type by itself', async () => {
    const [one, two] = [await rig.event(1, 1), await rig.event(1, 2)]
    await set('m.read', two)
    await set('m.read', one)
    await set('m.read', two)
    expect(receipts()).toEqual([
      { position: expect.any(Number), ...room, receiptType: 'm.read', userId: alice, eventId: two, ts: rig.clock.now() },
    ])
    await set('m.read.private', one)
    await set('m.read', one, 'main')
    expect(receipts().slice(1)).toMatchObject([{ receiptType: 'm.read.private' }, { receiptType: 'm.read', threadId: 'main' }])
  })

  test('of rivals leave table and stream agreeing on the last', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => rig.event(1, 100 + i)))
    await Promise.all(ids.toSorted(() => 0.5 - Math.random()).map((eventId) => set('m.read', eventId, 'main')))
    const [row] = await rig.run(`SELECT stream_id, event_id FROM receipts_linearized WHERE user_id = $1 AND thread_id = 'main'`, [alice])
    const last = receipts()
      .toSorted((a, b) => (a.position as number) - (b.position as number))
      .at(-1)!
    expect(row).toEqual({ stream_id: last.position, event_id: last.eventId })
    expect(last.eventId).toBe(ids.at(-1))
  })

  test('know the thread of an event over three relations', async () => {
    const root = await rig.event(1, 10)
    const reply = await rig.event(1, 11, { 'm.relates_to': { rel_type: 'm.thread', event_id: root } })
    const reaction = await rig.event(1, 12, { 'm.relates_to': { rel_type: 'm.annotation', event_id: reply, key: 'x' } })
    const edit = await rig.event(1, 13, { 'm.relates_to': { rel_type: 'm.replace', event_id: reaction } })
    for (const eventId of [root, reply, reaction, edit]) await set('m.read', eventId, root)
    await expect(set('m.read', reply, 'main')).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await set('m.read', root, 'main')
    const trap = await rig.event(1, 14, { 'm.relates_to': { rel_type: 'm.thread', event_id: '\0' } })
    await expect(set('m.read', trap, '\0')).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await expect(set('m.read', reply, '$other:weft.test')).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
  })

  test.each([
    ['m.read', '', 'M_INVALID_PARAM'],
    ['m.read', 1, 'M_INVALID_PARAM'],
    ['m.read', null, 'M_INVALID_PARAM'],
    ['m.fully_read', 'main', 'M_INVALID_PARAM'],
    ['m.other', undefined, 'M_INVALID_PARAM'],
    ['constructor', undefined, 'M_INVALID_PARAM'],
  ])('refuse %s with the thread %j', async (type, threadId, errcode) => {
    await expect(set(type, '$event1:weft.test', threadId)).rejects.toMatchObject({ errcode })
  })

  test('are for events of the room only', async () => {
    await rig.room(2, [])
    const elsewhere = await rig.event(2, 20)
    for (const eventId of [elsewhere, '$unknown:weft.test', 'nonsense']) {
      for (const type of ['m.read', 'm.fully_read']) await expect(set(type, eventId)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    }
  })

  test('the fully read marker is account data and moves forwards only', async () => {
    const marker = async () => JSON.parse(await rig.reads.accountData.get(alice, room, 'm.fully_read')).event_id
    await set('m.fully_read', '$event2:weft.test')
    await set('m.fully_read', '$event1:weft.test')
    expect(await marker()).toBe('$event2:weft.test')
    await Promise.all([2, 10, 1].map((n) => set('m.fully_read', `$event${n}:weft.test`)))
    expect(await marker()).toBe('$event10:weft.test')
    expect(rig.rows('account_data').filter((row) => row.type === 'm.fully_read')).toHaveLength(2)
  })
})

describe('rooms of a request', () => {
  test('are the same as none to who is not in them', async () => {
    const { roomId } = await rig.room(3, [bob])
    for (const id of [roomId, '!unknown:weft.test']) {
      await expect(rig.reads.rooms.requireJoined(id, alice)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
      await expect(rig.reads.rooms.requireKnown(id, alice)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    }
    await expect(rig.reads.rooms.requireKnown('@nonsense:x', alice)).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await expect(rig.reads.rooms.requireJoined('nonsense', alice)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    expect(await rig.reads.rooms.requireKnown((await rig.room(4, [alice], 'leave')).roomId, alice)).toMatchObject({ roomNid: 4 })
  })
})

describe('typing', () => {
  test('ends by itself after the time, which is capped', async () => {
    await rig.accounts.typing.set(alice, room, true, 10 ** 9)
    expect(rig.rows('typing').at(-1)).toMatchObject({ ...room, userIds: [alice] })
    rig.clock.advance(120_001)
    expect((await rig.ephemeral.expireTyping()).rows).toMatchObject([{ ...room, userIds: [] }])
    await rig.accounts.typing.set(alice, room, true)
    await rig.accounts.typing.set(alice, room, false)
    expect(rig.rows('typing').at(-1)).toMatchObject({ userIds: [] })
  })
})

describe('sessions of user-interactive auth', () => {
  const session = { id: 's1', operation: 'client.op', userId: alice, requestHash: Buffer.from([1, 0, 2]), completed: {} }

  test('keep every stage, those completed at once too, until they are used up or too old', async () => {
    await rig.uiaSessions.create(session)
    await Promise.all(['m.b', 'm.a', 'm.c'].map((stage) => rig.uiaSessions.complete('s1', stage, { stage })))
    const kept = await rig.uiaSessions.get('s1')
    expect(kept).toMatchObject({ id: 's1', operation: 'client.op' })
    expect(kept!.requestHash).toEqual(session.requestHash)
    expect(Object.keys(kept!.completed).sort()).toEqual(['m.a', 'm.b', 'm.c'])
    expect((await Promise.all([rig.uiaSessions.delete('s1'), rig.uiaSessions.delete('s1')])).sort()).toEqual([false, true])
    expect(await rig.uiaSessions.complete('s1', 'm.d', true)).toBeUndefined()
    await rig.uiaSessions.create({ ...session, id: 's2' })
    rig.clock.advance(3_600_001)
    expect(await rig.uiaSessions.get('s2')).toBeUndefined()
    expect(await rig.uiaSessions.complete('s2', 'm.d', true)).toBeUndefined()
  })
})
