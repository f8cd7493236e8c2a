import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type ClientEvent, type SyncProcess, World } from './support.ts'

let world: World
let process: SyncProcess

beforeAll(async () => {
  world = await World.create()
  process = await world.process()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

const LIMIT = { room: { timeline: { limit: 6 } } }
const relatesTo = (rel_type: string, event_id: string) => ({ 'm.relates_to': { rel_type, event_id } })
const edit = (event_id: string, body: string) => ({ content: { ...relatesTo('m.replace', event_id), 'm.new_content': { body } } })
const relationsOf = (events: readonly ClientEvent[] | undefined, eventId: string) =>
  events?.find((event) => event.event_id === eventId)?.unsigned?.['m.relations'] as Record<string, Record<string, unknown>> | undefined

test('a limited timeline shows what relates to its events, and one without a gap does not', async () => {
  const [a, b] = ['@rel-a:test', '@rel-b:test']
  const device = await world.device(process, b)
  await device.sync()
  // A room that this process has learned of by the stream alone: nobody has read its version.
  const room = await world.rooms.room(a)
  await room.join(b)
  await world.settle()
  await device.sync({ json: LIMIT })
  for (let i = 0; i < 5; i++) await room.message(a, `${i}`)
  const root = await room.message(a, 'root')
  const changed = await room.message(a, '* root', edit(root.eventId, 'root, rather'))
  const reply = await room.message(b, 'reply', { content: { body: 'reply', ...relatesTo('m.thread', root.eventId) } })
  await room.message(b, '* root', edit(root.eventId, 'not mine'))
  await world.settle()
  const timeline = (await device.sync({ json: LIMIT })).rooms?.join?.[room.roomId]?.timeline
  expect(timeline?.limited).toBe(true)
  const relations = relationsOf(timeline?.events, root.eventId)
  expect(relations?.['m.replace']).toMatchObject({ event_id: changed.eventId, content: { 'm.new_content': { body: 'root, rather' } } })
  expect(relations?.['m.replace']?.room_id).toBeUndefined()
  expect(relations?.['m.thread']).toMatchObject({ count: 1, current_user_participated: true, latest_event: { event_id: reply.eventId } })
  // Nothing of it stays in what others are shown.
  const whole = { room: { timeline: { limit: 50 } } }
  const others = await world.device(process, a)
  const all = (await others.sync({ json: whole })).rooms?.join?.[room.roomId]?.timeline
  expect(all?.limited).toBe(false)
  expect(relationsOf(all?.events, root.eventId)).toBeUndefined()

  const next = await room.message(a, 'next')
  await room.message(a, '* next', edit(next.eventId, 'next, rather'))
  await world.settle()
  const before = world.test.db.statementCount
  const woken = (await device.sync({ json: LIMIT })).rooms?.join?.[room.roomId]?.timeline
  expect(woken?.limited).toBe(false)
  expect(relationsOf(woken?.events, next.eventId)).toBeUndefined()
  expect(world.test.db.statementCount).toBe(before)
})

test('ignored users and what the reader may not see are left out (R28)', async () => {
  const [a, b, ignored] = ['@rel-c:test', '@rel-d:test', '@rel-e:test']
  const state = [{ type: 'm.room.history_visibility', sender: a, stateKey: '', content: { history_visibility: 'joined' } }]
  const room = await world.rooms.room(a, { state })
  await room.join(b, ignored)
  for (let i = 0; i < 6; i++) await room.message(a, `${i}`)
  const root = await room.message(a, 'root')
  await room.message(ignored, 'reply', { content: { body: 'reply', ...relatesTo('m.thread', root.eventId) } })
  await room.member(b, 'leave')
  await room.message(a, '* root', edit(root.eventId, 'behind the back'))
  await room.join(b)
  await world.accountData(b, 'm.ignored_user_list', { ignored_users: { [ignored]: {} } })
  await world.settle()
  const shownTo = async (userId: string) => {
    const device = await world.device(process, userId)
    const timeline = (await device.peek({ json: LIMIT })).rooms?.join?.[room.roomId]?.timeline
    expect(timeline?.limited).toBe(true)
    expect(timeline?.events.map((event) => event.event_id)).toContain(root.eventId)
    return relationsOf(timeline?.events, root.eventId)
  }
  expect(await shownTo(b)).toBeUndefined()
  expect(Object.keys((await shownTo(a)) ?? {}).sort()).toEqual(['m.replace', 'm.thread'])
})
