import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type JsonObject, parseJsonObject } from '@weft/matrix'
import { accountDataLimits, filterLimits } from '../src/index.ts'
import { AccountsRig } from './rig.ts'

let rig: AccountsRig
let alice: string
let room: { roomNid: number; roomId: string }
beforeAll(async () => {
  rig = await AccountsRig.start()
  alice = (await rig.register('alice')).userId
  room = await rig.room(1, [alice])
})
afterAll(() => rig.stop())

const set = (type: string, content: JsonObject, inRoom = false) =>
  rig.accounts.accountData.set(alice, inRoom ? room : undefined, type, content)
const get = async (type: string, inRoom = false) => JSON.parse(await rig.reads.accountData.get(alice, inRoom ? room : undefined, type))

describe('account data', () => {
  test('is kept by type, globally and in a room, and goes onto the stream', async () => {
    await set('org.example.a', { global: true })
    await set('org.example.a', { room: true }, true)
    expect(await get('org.example.a')).toEqual({ global: true })
    expect(await get('org.example.a', true)).toEqual({ room: true })
    const rows = rig.rows('account_data')
    expect(rows.at(-2)).toEqual({ position: expect.any(Number), userId: alice, type: 'org.example.a', content: '{"global":true}' })
    expect(rows.at(-1)).toMatchObject({ ...room, content: '{"room":true}' })
    expect(rows.at(-1)!.position).toBeGreaterThan(rows.at(-2)!.position as number)
  })

  test('of rivals leaves table and stream agreeing on the last', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, n) => set('org.example.raced', { n })))
    const [row] = await rig.run(`SELECT stream_id, content FROM account_data WHERE account_data_type = 'org.example.raced'`)
    const last = rig
      .rows('account_data')
      .toSorted((a, b) => (a.position as number) - (b.position as number))
      .at(-1)!
    expect(row).toEqual({ stream_id: last.position, content: last.content })
  })

  test('is nobody else’s', async () => {
    await expect(rig.reads.accountData.get('@bob:weft.test', undefined, 'org.example.a')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(rig.reads.accountData.get(alice, undefined, 'org.example.other')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  test.each(['constructor', '__proto__', 'toString'])('R43 has the type %s like any other', async (type) => {
    await expect(get(type)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await set(type, parseJsonObject(`{"${type}":{"x":1}}`))
    expect(await rig.reads.accountData.get(alice, undefined, type)).toBe(`{"${type}":{"x":1}}`)
  })

  test('R03 keeps numbers and NUL as they came', async () => {
    const text = '{"a":1.50,"b":123456789012345678901,"c":"\\u0000"}'
    await set('org.example.exact', parseJsonObject(text))
    expect(await rig.reads.accountData.get(alice, undefined, 'org.example.exact')).toBe(text)
  })

  test('of a replaced room goes along: tags, and the place among direct chats, once (R30)', async () => {
    const to = await rig.room(2, [alice])
    const carry = () => rig.accounts.accountData.carry(alice, room, to)
    await set('m.direct', ['not a map'] as never)
    await rig.accounts.accountData.setTag(alice, room, 'u.loom', { order: 1 })
    await carry()
    expect(await rig.reads.accountData.tags(alice, to)).toEqual({ 'u.loom': { order: 1 } })
    const direct = parseJsonObject(`{"@bob:x":["${room.roomId}"],"@carol:x":["!other:x"],"@odd:x":7,"__proto__":["${room.roomId}"]}`)
    await set('m.direct', direct)
    await carry()
    const carried = await rig.reads.accountData.get(alice, undefined, 'm.direct')
    expect(carried).toBe(
      `{"@bob:x":["${room.roomId}","${to.roomId}"],"@carol:x":["!other:x"],"@odd:x":7,"__proto__":["${room.roomId}","${to.roomId}"]}`,
    )
    await rig.accounts.accountData.setTag(alice, to, 'u.own', {})
    await rig.accounts.accountData.deleteTag(alice, to, 'u.loom')
    const before = rig.rows('account_data').length
    await carry()
    expect(rig.rows('account_data')).toHaveLength(before)
    expect(await rig.reads.accountData.tags(alice, to)).toEqual({ 'u.own': {} })
    await rig.accounts.accountData.deleteTag(alice, room, 'u.loom')
  })

  test.each(['m.fully_read', 'm.push_rules'])('refuses %s, which the server manages', async (type) => {
    for (const inRoom of [false, true]) await expect(set(type, {}, inRoom)).rejects.toMatchObject({ errcode: 'M_BAD_JSON', status: 405 })
  })

  test('R26 is capped by the name, the content, the types and the bytes', async () => {
    await expect(set('x'.repeat(256), {})).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await expect(set('', {})).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await expect(set('big', { x: 'x'.repeat(accountDataLimits.contentBytes) })).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
    const { userId } = await rig.register('full')
    await rig.run(
      `INSERT INTO account_data (user_id, account_data_type, stream_id, content) SELECT $1, 't' || n, -n, '{}' FROM generate_series(1, $2::int) n`,
      [userId, accountDataLimits.global.types],
    )
    await expect(rig.accounts.accountData.set(userId, undefined, 'more', {})).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
    await rig.accounts.accountData.set(userId, undefined, 't1', { replaced: true })
    await rig.run(`UPDATE account_data SET content = repeat('x', $2::int) WHERE user_id = $1 AND account_data_type = 't2'`, [
      userId,
      accountDataLimits.global.bytes,
    ])
    await expect(rig.accounts.accountData.set(userId, undefined, 't1', {})).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
  })
})

describe('tags', () => {
  const tags = () => rig.reads.accountData.tags(alice, room)

  test('come and go one by one, without losing a rival', async () => {
    expect(await tags()).toEqual({})
    const names = Array.from({ length: 8 }, (_, i) => `u.${i}`)
    await Promise.all(names.map((tag) => rig.accounts.accountData.setTag(alice, room, tag, { order: 1 })))
    expect(Object.keys(await tags()).sort()).toEqual(names)
    await Promise.all(names.slice(1).map((tag) => rig.accounts.accountData.deleteTag(alice, room, tag)))
    await rig.accounts.accountData.deleteTag(alice, room, 'u.never')
    expect(await get('m.tag', true)).toEqual({ tags: { 'u.0': { order: 1 } } })
  })

  test.each(['constructor', '__proto__', 'hasOwnProperty'])('R43 may be called %s', async (tag) => {
    await rig.accounts.accountData.setTag(alice, room, tag, { order: 0 })
    expect(Object.keys(await tags())).toContain(tag)
    await rig.accounts.accountData.deleteTag(alice, room, tag)
    expect(Object.keys(await tags())).not.toContain(tag)
  })

  test('R26 are capped by the name and their number', async () => {
    await expect(rig.accounts.accountData.setTag(alice, room, 'x'.repeat(256), {})).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
    await set('m.tag', { tags: Object.fromEntries(Array.from({ length: accountDataLimits.tags }, (_, i) => [`t${i}`, {}])) }, true)
    await expect(rig.accounts.accountData.setTag(alice, room, 'more', {})).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
    await rig.accounts.accountData.setTag(alice, room, 't1', { order: 0.5 })
  })

  test.each([{ tags: [] }, { tags: 'x' }, {}])('R30 survive account data of another shape: %j', async (content) => {
    await set('m.tag', content as JsonObject, true)
    expect(await tags()).toEqual({})
    await rig.accounts.accountData.setTag(alice, room, 'm.favourite', {})
    expect(await tags()).toEqual({ 'm.favourite': {} })
  })
})

describe('filters', () => {
  test('have one id however often they are given', async () => {
    const filter = { room: { timeline: { limit: 10 } } }
    const ids = await Promise.all([1, 2, 3].map(() => rig.accounts.filters.create(alice, filter)))
    expect(new Set(ids)).toEqual(new Set(['0']))
    expect(await rig.accounts.filters.create(alice, {})).toBe('1')
    expect(JSON.parse(await rig.reads.filters.get(alice, '0'))).toEqual(filter)
  })

  test('are their owner’s alone', async () => {
    for (const id of ['7', 'x', '-1', '1e3', '99999999999999999999', '__proto__']) {
      await expect(rig.reads.filters.get(alice, id)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    }
    await expect(rig.reads.filters.get('@bob:weft.test', '0')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  test.each([{ room: [] }, { room: { timeline: { limit: 'ten' } } }, { event_fields: {} }, { presence: { types: [1] } }])(
    'must be filters: %j',
    async (filter) => {
      await expect(rig.accounts.filters.create(alice, filter as unknown as JsonObject)).rejects.toMatchObject({ errcode: 'M_BAD_JSON' })
    },
  )

  test('R26 are capped by their size and number', async () => {
    const big = { event_fields: Array.from({ length: 9000 }, (_, i) => `field.${i}`) }
    await expect(rig.accounts.filters.create(alice, big)).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
    const { userId } = await rig.register('filterer')
    await rig.run(
      `INSERT INTO user_filters (user_id, filter_id, filter_hash, filter_json) SELECT $1, n, decode(lpad(n::text, 8, '0'), 'hex'), '{}' FROM generate_series(1, $2::int) n`,
      [userId, filterLimits.count],
    )
    await expect(rig.accounts.filters.create(userId, {})).rejects.toMatchObject({ errcode: 'M_TOO_LARGE' })
  })
})
