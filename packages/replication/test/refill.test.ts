import { expect, test } from '@jest/globals'
import { type Database, eventsWriter, sql } from '@weft/storage'
import { makeTemplate, startPostgres, testDatabase } from '@weft/testkit'
import {
  accountDataStream,
  currentStateDeltasStream,
  eventsStream,
  LocalAnnouncer,
  largestInlineText,
  toDeviceStream,
} from '../src/index.ts'
import { eventRow, makeRoom, startWriter, storeDelta, storeEvent, TestObserver } from './support.ts'

const redact = sql('test.redact', 'UPDATE events SET redacted_by = $2 WHERE event_nid = $1')
const insertInbox = sql(
  'test.insertInbox',
  "INSERT INTO device_inbox (user_id, device_id, stream_id, message_json) VALUES ('@a:x', $1, $2, '{}')",
)
const insertAccountData = sql(
  'test.insertAccountData',
  "INSERT INTO account_data (user_id, room_nid, account_data_type, stream_id, content) VALUES ('@a:x', $1, 't', $2, $3)",
)

async function fill(db: Database): Promise<void> {
  await makeRoom(db)
  const member = { ...eventRow(1, 'm.room.member'), stateKey: '@a:x' }
  await storeEvent(db, member, JSON.stringify({ type: 'm.room.member', content: { membership: 'join' } }))
  const relation = { rel_type: 'm.annotation', event_id: '$event1', key: '👍' }
  await storeEvent(db, eventRow(2, 'm.reaction'), JSON.stringify({ content: { 'm.relates_to': relation } }))
  await storeEvent(db, eventRow(3, 'm.room.redaction'), JSON.stringify({ content: { redacts: '$event2' } }))
  await storeEvent(db, eventRow(4, 'm.room.redaction'), JSON.stringify({ redacts: '$event1', content: {} }))
  await storeEvent(db, eventRow(5), JSON.stringify({ content: { body: 'x'.repeat(largestInlineText) } }))
  // Own keys only, and nothing that is not a string (R43, R30).
  await storeEvent(db, eventRow(6, 'm.room.member'), '{"content":{"membership":5,"m.relates_to":"no","__proto__":{"membership":"join"}}}')
  await db.execute(redact, [2, 3])
  // As an older release wrote it, of a token without a device, and of a device.
  const txn = (eventNid: number, deviceId: string | undefined, txnId: string) => ({
    key: Buffer.from([eventNid]),
    eventNid,
    deviceId,
    txnId,
  })
  await db.commitPipeline(eventsWriter.insertTxns([txn(2, undefined, 'no device'), txn(5, 'PHONE', 'a\0b')], 0))
  await db.execute(sql('test.oldTxn', 'INSERT INTO event_txn_ids (key, event_nid, inserted_ts) VALUES ($1, 3, 0)'), [Buffer.from('old')])
}

test.each([14, 18] as const)('rows from the tables of PostgreSQL %i carry what the writer took from the content', async (major) => {
  await using server = await startPostgres({ major })
  await makeTemplate(server.connection)
  await using database = await testDatabase({ server: server.connection })
  const { db } = database
  await fill(db)
  const events = await eventsStream.kept.refill(db, 0, 100, 1000)
  expect(events.through).toBe(100)
  expect(events.rows.map(({ membership, redacts, redactsNid, relation }) => ({ membership, redacts, redactsNid, relation }))).toEqual([
    { membership: 'join' },
    { relation: { relType: 'm.annotation', eventId: '$event1', key: '👍' } },
    { redacts: '$event2', redactsNid: 2 },
    { redacts: '$event1' },
    {},
    {},
  ])
  expect(events.rows.map(({ txnDeviceId, txnId }) => [txnDeviceId, txnId])).toEqual([
    ...Array.from({ length: 4 }, () => [undefined, undefined]),
    ['PHONE', 'a\0b'],
    [undefined, undefined],
  ])
  expect(events.texts?.map((text) => text !== undefined)).toEqual([true, true, true, true, false, true])
  expect(await eventsStream.kept.refill(db, 1, 100, 2)).toMatchObject({ through: 3 })

  const delta = { roomNid: 1, roomId: '!room' }
  await storeDelta(db, { ...delta, position: 1, type: 'm.room.member', stateKey: '@a:x', eventNid: 1 })
  for (const stateKey of ['a', 'b', 'c']) await storeDelta(db, { ...delta, position: 3, type: 'x', stateKey, eventNid: 2 })
  await storeDelta(db, { ...delta, position: 3, type: 'm.room.member', stateKey: '@gone:x' })
  await storeDelta(db, { ...delta, position: 4, type: 'x', stateKey: 'd', eventNid: 2 })
  const cut = await currentStateDeltasStream.kept.refill(db, 0, 100, 2)
  // The rows of a position come together, whatever the limit.
  expect(cut).toMatchObject({ through: 3 })
  expect(cut.rows.map((row) => [row.position, row.type, row.stateKey, row.membership])).toEqual([
    [1, 'm.room.member', '@a:x', 'join'],
    [3, 'm.room.member', '@gone:x', 'leave'],
    [3, 'x', 'a', undefined],
    [3, 'x', 'b', undefined],
    [3, 'x', 'c', undefined],
  ])

  for (const device of ['A', 'B']) await db.execute(insertInbox, [device, 7])
  await db.execute(insertInbox, ['A', 8])
  expect(await toDeviceStream.kept.refill(db, 0, 100, 1)).toEqual({
    rows: [
      { position: 7, userId: '@a:x', deviceId: 'A' },
      { position: 7, userId: '@a:x', deviceId: 'B' },
    ],
    through: 7,
  })
  await db.execute(insertAccountData, [0, 1, '{"a":1}'])
  await db.execute(insertAccountData, [1, 2, null])
  expect((await accountDataStream.kept.refill(db, 0, 100, 10)).rows).toEqual([
    { position: 1, userId: '@a:x', type: 't', content: '{"a":1}', roomNid: undefined, roomId: undefined },
    { position: 2, userId: '@a:x', type: 't', content: undefined, roomNid: 1, roomId: '!room' },
  ])

  // A new writer begins where the tables end, also on the oldest PostgreSQL.
  const writer = await startWriter(db, new LocalAnnouncer({ observer: new TestObserver() }))
  expect(Object.fromEntries(writer.positions())).toEqual({ events: 6, receipts: 0, account_data: 2, to_device: 8, device_changes: 0 })
  await writer.stop()
})
