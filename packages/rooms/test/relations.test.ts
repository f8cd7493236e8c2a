import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { JsonObject } from '@weft/matrix'
import type { RelationsQuery } from '../src/index.ts'
import { RoomsRig } from './rig.ts'

let rig: RoomsRig
let roomId: string
const alice = '@alice:weft.test'
const bob = '@bob:weft.test'
const carol = '@carol:weft.test'
let txn = 0

beforeAll(async () => {
  rig = await RoomsRig.start()
})
afterAll(async () => {
  await rig.stop()
})
beforeEach(async () => {
  roomId = await rig.room(alice, { preset: 'public_chat' })
  await ignore(carol)
  await rig.memberships.join(bob, roomId)
})

interface Shown {
  event_id: string
  sender: string
  content: JsonObject
  unsigned?: { 'm.relations'?: Record<string, JsonObject> }
}

function send(userId: string, type: string, content: JsonObject, txnId = `x${txn++}`, room = roomId): Promise<string> {
  return rig.messages.send({ roomId: room, type, content, sender: { userId, deviceId: 'D' }, txn: { txnId, path: `/${room}/${txnId}` } })
}
const relate = (rel_type: string, event_id: string, extra: JsonObject = {}): JsonObject => ({ rel_type, event_id, ...extra })
const react = (userId: string, eventId: string, key: string, txnId?: string) =>
  send(userId, 'm.reaction', { 'm.relates_to': relate('m.annotation', eventId, { key }) }, txnId)
const edit = (userId: string, eventId: string, body: string, content: JsonObject = { 'm.new_content': { msgtype: 'm.text', body } }) =>
  send(userId, 'm.room.message', { msgtype: 'm.text', body: `* ${body}`, 'm.relates_to': relate('m.replace', eventId), ...content })
const reply = (userId: string, root: string, body: string) =>
  send(userId, 'm.room.message', { msgtype: 'm.text', body, 'm.relates_to': relate('m.thread', root) })
const refer = (userId: string, eventId: string) => send(userId, 'org.example.ref', { 'm.relates_to': relate('m.reference', eventId) })

async function relationsOf(userId: string, eventId: string): Promise<Record<string, JsonObject> | undefined> {
  return (JSON.parse(await rig.reads.event(userId, roomId, eventId)) as Shown).unsigned?.['m.relations']
}
async function children(userId: string, eventId: string, query: Partial<RelationsQuery> = {}) {
  const page = await rig.relations.children(userId, roomId, eventId, { direction: 'b', limit: 100, recurse: false, ...query })
  return { ...page, ids: page.chunk.map((text) => (JSON.parse(text) as Shown).event_id) }
}
async function ignore(userId: string, ...ignored: string[]): Promise<void> {
  const content = JSON.stringify({ ignored_users: Object.fromEntries(ignored.map((id) => [id, {}])) })
  const text = `INSERT INTO account_data (user_id, room_nid, account_data_type, stream_id, content)
    VALUES ($1, 0, 'm.ignored_user_list', (SELECT count(*) + 1 FROM account_data), $2)
    ON CONFLICT (user_id, room_nid, account_data_type) DO UPDATE SET content = excluded.content`
  await rig.database.db.query({ name: 'test.ignore', text }, [userId, content])
}

describe('what may be sent', () => {
  test('the same annotation by the same user only once, until it is redacted', async () => {
    const target = await rig.text(alice, roomId, 'hello')
    const first = await react(alice, target, '👍')
    const refused = { errcode: 'M_DUPLICATE_ANNOTATION', status: 400 }
    await expect(react(alice, target, '👍')).rejects.toMatchObject(refused)
    await react(bob, target, '👍')
    await react(alice, target, '👎')
    await send(alice, 'org.example.reaction', { 'm.relates_to': relate('m.annotation', target, { key: '👍' }) })
    await rig.redact(alice, roomId, first)
    await react(alice, target, '👍')
    rig = rig.restarted()
    await expect(react(alice, target, '👍')).rejects.toMatchObject(refused)
  })

  test('of annotations sent at once only one', async () => {
    const target = await rig.text(alice, roomId, 'hello')
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => react(alice, target, '👍')))
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    expect((await children(alice, target)).ids).toHaveLength(1)
  })

  test('a repeated request is answered with its event and is no duplicate, after a restart too', async () => {
    const target = await rig.text(alice, roomId, 'hello')
    const first = await react(alice, target, '👍', 'again')
    expect(await react(alice, target, '👍', 'again')).toBe(first)
    rig = rig.restarted()
    expect(await react(alice, target, '👍', 'again')).toBe(first)
  })

  test('no thread from an event that relates to another', async () => {
    const root = await rig.text(alice, roomId, 'root')
    const inThread = await reply(bob, root, 'one')
    await expect(reply(bob, inThread, 'two')).rejects.toMatchObject({ errcode: 'M_UNKNOWN', status: 400 })
    const rich = await send(bob, 'm.room.message', { body: 'rich', 'm.relates_to': { 'm.in_reply_to': { event_id: root } } })
    await reply(alice, rich, 'a reply is no relation')
    await reply(alice, '$nowhere', 'what is not here is not judged')
  })

  test('a message in a known thread costs one statement more than another, and an ordinary one none', async () => {
    const root = await rig.text(alice, roomId, 'root')
    await reply(alice, root, 'warm')
    const statements = async (run: () => Promise<unknown>) => {
      const before = new Map(rig.database.db.statementCounts)
      await run()
      const ran = [...rig.database.db.statementCounts].filter(([name, n]) => n !== (before.get(name) ?? 0))
      return ran.map(([name]) => name).filter((name) => !name.startsWith('ids.') && !/^tx\./.test(name))
    }
    const ordinary = await statements(() => rig.text(alice, roomId, 'plain'))
    expect(ordinary).not.toContain('relations.insert')
    expect((await statements(() => reply(alice, root, 'warmer'))).sort()).toEqual([...ordinary, 'relations.insert'].sort())
  })

  test('relations of a strange shape are sent and forgotten (R03, R30)', async () => {
    const strange: JsonObject[] = [
      relate('m.annotation', '$x\u0000y', { key: '\u0000' }),
      relate('m.annotation', `$${'x'.repeat(300)}`, { key: { a: 1 } }),
      relate('m.thread', 'not an id'),
      relate('m.thread', '$x\u0000y'),
      relate('x'.repeat(3000), '$x'),
      relate('a\u0000b', '$x'),
      { rel_type: 1, event_id: [] } as never,
    ]
    for (const relation of strange) await send(alice, 'm.room.message', { 'm.relates_to': relation })
    const target = await rig.text(alice, roomId, 'target')
    const child = await send(alice, 'm.room.message', { 'm.relates_to': relate('a\u0000b', target) })
    expect((await children(alice, target, { relationType: 'a\u0000b' })).ids).toEqual([child])
    expect((await children(alice, target, { relationType: '__proto__' })).ids).toEqual([])
  })
})

describe('what relates to an event', () => {
  test('is listed by relation and type, in pages of either direction', async () => {
    const target = await rig.text(alice, roomId, 'target')
    const ids: string[] = []
    for (let i = 0; i < 6; i++) ids.push(await (i % 2 === 0 ? react(bob, target, `${i}`) : refer(alice, target)))
    const elsewhere = await rig.room(alice)
    await send(alice, 'org.example.ref', { 'm.relates_to': relate('m.reference', target) }, 'elsewhere', elsewhere)
    const newestFirst = [...ids].reverse()
    expect((await children(alice, target)).ids).toEqual(newestFirst)
    expect((await children(alice, target, { direction: 'f' })).ids).toEqual(ids)
    expect((await children(alice, target, { relationType: 'm.annotation' })).ids).toEqual([ids[4], ids[2], ids[0]])
    expect((await children(alice, target, { relationType: 'm.reference', type: 'org.example.ref' })).ids).toHaveLength(3)
    expect((await children(alice, target, { relationType: 'm.reference', type: 'm.reaction' })).ids).toEqual([])
    for (const direction of ['b', 'f'] as const) {
      const paged: string[] = []
      let from: number | undefined
      for (let pages = 0; pages < 10; pages++) {
        const page = await children(alice, target, { direction, limit: 4, from })
        paged.push(...page.ids)
        if (page.nextBatch === undefined) break
        from = rig.timelines.position(page.nextBatch)
      }
      expect(paged).toEqual(direction === 'b' ? newestFirst : ids)
    }
    const first = await children(alice, target, { limit: 2 })
    expect((await children(alice, target, { to: rig.timelines.position(first.nextBatch as string) })).ids).toEqual(newestFirst.slice(0, 2))
  })

  test('is listed over several steps with recurse, and not through what was redacted', async () => {
    const target = await rig.text(alice, roomId, 'target')
    const one = await reply(alice, target, 'one')
    const two = await react(alice, one, '👍')
    const three = await refer(alice, two)
    const four = await refer(alice, three)
    const page = await children(alice, target, { recurse: true })
    expect(page.ids).toEqual([three, two, one])
    expect(page.recursionDepth).toBe(3)
    expect(page.ids).not.toContain(four)
    expect((await children(alice, target)).recursionDepth).toBeUndefined()
    expect((await children(alice, target, { recurse: true, relationType: 'm.reference' })).ids).toEqual([three])
    await rig.redact(alice, roomId, two)
    expect((await children(alice, target, { recurse: true })).ids).toEqual([one])
  })

  test('R28 is not to be had by who may not see the event, nor what may not be seen of it', async () => {
    const secret = await rig.room(alice, {
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.history_visibility', content: { history_visibility: 'joined' } }],
    })
    roomId = secret
    const before = await rig.text(alice, secret, 'before')
    await rig.memberships.join(bob, secret)
    await react(alice, before, '1')
    await expect(children(bob, before)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(children(carol, before)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    const seen = await rig.text(alice, secret, 'seen')
    const heard = await react(alice, seen, '1')
    await rig.memberships.leave(bob, secret)
    await edit(alice, seen, 'changed')
    await reply(alice, seen, 'in a thread')
    expect((await children(bob, seen)).ids).toEqual([heard])
    expect(await relationsOf(bob, seen)).toBeUndefined()
    await rig.memberships.join(bob, secret)
    expect(await relationsOf(bob, seen)).toBeUndefined()
    expect(Object.keys((await relationsOf(alice, seen)) ?? {}).sort()).toEqual(['m.replace', 'm.thread'])
  })
})

describe('bundled aggregations', () => {
  test('show the latest valid replacement', async () => {
    const target = await rig.text(alice, roomId, 'v0')
    await edit(alice, target, 'v1')
    const latest = await edit(alice, target, 'v2')
    await edit(bob, target, 'not mine')
    await edit(alice, target, 'no new content', {})
    await send(alice, 'org.example.other', { 'm.new_content': {}, 'm.relates_to': relate('m.replace', target) })
    const shown = (await relationsOf(bob, target))?.['m.replace'] as unknown as Shown
    expect(shown).toMatchObject({ event_id: latest, room_id: roomId, sender: alice, content: { 'm.new_content': { body: 'v2' } } })
    // The event itself is as it was sent.
    expect(JSON.parse(await rig.reads.event(bob, roomId, target)).content).toEqual({ msgtype: 'm.text', body: 'v0' })
    // No edits of edits.
    await edit(alice, latest, 'v3')
    expect(await relationsOf(bob, latest)).toBeUndefined()
    const page = await rig.timelines.messages(await rig.reads.access(bob, roomId), { direction: 'b', limit: 50 })
    const inPage = page.chunk.map((text) => JSON.parse(text) as Shown).find((event) => event.event_id === target)
    expect(inPage?.unsigned?.['m.relations']?.['m.replace']).toMatchObject({ event_id: latest })
  })

  test('follow redactions of the replacement and of the event', async () => {
    const target = await rig.text(alice, roomId, 'v0')
    const first = await edit(alice, target, 'v1')
    const second = await edit(alice, target, 'v2')
    await rig.redact(alice, roomId, second)
    expect((await relationsOf(bob, target))?.['m.replace']).toMatchObject({ event_id: first })
    await rig.redact(alice, roomId, target)
    expect(await relationsOf(bob, target)).toBeUndefined()
  })

  test('are not on state events', async () => {
    const name = await rig.set(alice, roomId, 'm.room.name', { name: 'Loom' })
    await refer(alice, name)
    expect(await relationsOf(alice, name)).toBeUndefined()
    expect((await children(alice, name)).ids).toHaveLength(1)
  })

  test('list references', async () => {
    const target = await rig.text(alice, roomId, 'target')
    const ids = [await refer(alice, target), await refer(bob, target)]
    expect((await relationsOf(alice, target))?.['m.reference']).toEqual({ chunk: ids.map((event_id) => ({ event_id })) })
    await ignore(carol, bob)
    await rig.memberships.join(carol, roomId)
    expect((await relationsOf(carol, target))?.['m.reference']).toEqual({ chunk: [{ event_id: ids[0] }] })
  })

  test('sum up a thread, its latest event with its own', async () => {
    const root = await rig.text(alice, roomId, 'root')
    await reply(bob, root, 'one')
    const two = await reply(bob, root, 'two')
    const changed = await edit(bob, two, 'two, rather')
    await rig.memberships.join(carol, roomId)
    const thread = (await relationsOf(bob, root))?.['m.thread']
    expect(thread).toMatchObject({ count: 2, current_user_participated: true })
    expect(thread?.latest_event).toMatchObject({
      event_id: two,
      room_id: roomId,
      unsigned: { 'm.relations': { 'm.replace': { event_id: changed } } },
    })
    expect((await relationsOf(carol, root))?.['m.thread']).toMatchObject({ count: 2, current_user_participated: false })
    expect((await relationsOf(alice, root))?.['m.thread']).toMatchObject({ current_user_participated: true })
    await ignore(carol, bob)
    expect(await relationsOf(carol, root)).toBeUndefined()
    await rig.redact(bob, roomId, two)
    expect((await relationsOf(alice, root))?.['m.thread']).toMatchObject({ count: 1, latest_event: { content: { body: 'one' } } })
  })
})

describe('threads', () => {
  const threads = async (userId: string, query: { participated?: boolean; limit?: number } = {}) => {
    const ids: string[] = []
    const roots: Shown[] = []
    let from: number | undefined
    for (let pages = 0; pages < 20; pages++) {
      const page = await rig.relations.threads(userId, roomId, {
        participated: query.participated ?? false,
        limit: query.limit ?? 10,
        from,
      })
      roots.push(...page.chunk.map((text) => JSON.parse(text) as Shown))
      if (page.nextBatch === undefined) break
      from = rig.timelines.position(page.nextBatch)
    }
    ids.push(...roots.map((root) => root.event_id))
    return { ids, roots }
  }

  test('are listed by their latest event, in pages, with what relates to them', async () => {
    const roots: string[] = []
    for (let i = 0; i < 5; i++) roots.push(await rig.text(i === 0 ? bob : alice, roomId, `root ${i}`))
    const [a, b, c, d, e] = roots as [string, string, string, string, string]
    for (const root of [a, b, c, d, e, b]) await reply(alice, root, 'reply')
    const last = await reply(bob, d, 'reply')
    expect((await threads(alice)).ids).toEqual([d, b, e, c, a])
    expect((await threads(alice, { limit: 1 })).ids).toEqual([d, b, e, c, a])
    expect((await threads(alice, { limit: 2 })).ids).toEqual([d, b, e, c, a])
    expect((await threads(alice)).roots[1]?.unsigned?.['m.relations']?.['m.thread']).toMatchObject({ count: 2 })
    expect((await threads(bob, { participated: true })).ids).toEqual([d, a])
    await rig.redact(bob, roomId, last)
    expect((await threads(alice)).ids).toEqual([b, e, d, c, a])
    expect((await threads(bob, { participated: true })).ids).toEqual([a])
  })

  test('of ignored users are shown pruned, and their replies do not count', async () => {
    const mine = await rig.text(alice, roomId, 'mine')
    const his = await rig.text(bob, roomId, 'his')
    await reply(alice, his, 'reply')
    await reply(alice, mine, 'reply')
    await reply(bob, his, 'late reply')
    expect((await threads(alice)).ids).toEqual([his, mine])
    await rig.memberships.join(carol, roomId)
    await ignore(carol, bob)
    const { ids, roots } = await threads(carol)
    expect(ids).toEqual([mine, his])
    expect(roots[1]?.content).toEqual({})
  })

  test('R28 are for members', async () => {
    await expect(threads(carol)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })
})
