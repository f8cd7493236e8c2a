import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { compileRoomEventFilter } from '@weft/matrix'
import { RoomsRig } from './rig.ts'

let rig: RoomsRig
const alice = '@alice:weft.test'
const bob = '@bob:weft.test'
const carol = '@carol:weft.test'

beforeAll(async () => {
  rig = await RoomsRig.start()
})
afterAll(async () => {
  await rig.stop()
})

async function texts(userId: string, roomId: string, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < count; i++) ids.push(await rig.text(userId, roomId, `${i}`))
  return ids
}
const idOf = (text: string) => (JSON.parse(text) as { event_id: string }).event_id

describe('the context of an event', () => {
  async function context(userId: string, roomId: string, eventId: string, limit = 10, filter?: object) {
    const compiled = filter === undefined ? undefined : compileRoomEventFilter(filter as never)
    const found = await rig.timelines.context(userId, roomId, eventId, { limit, filter: compiled })
    const state = []
    for await (const part of found.state) state.push(JSON.parse(part))
    return { ...found, before: found.before.map(idOf), event: idOf(found.event), after: found.after.map(idOf), state }
  }

  test('is the events on either side, and tokens to go on from', async () => {
    const roomId = await rig.room(alice)
    const ids = await texts(alice, roomId, 9)
    const middle = ids[4] as string
    const around = await context(alice, roomId, middle, 5)
    expect(around).toMatchObject({ event: middle, before: [ids[3], ids[2]], after: [ids[5], ids[6], ids[7]] })
    const access = await rig.reads.access(alice, roomId)
    const on = (direction: 'b' | 'f', token: string) =>
      rig.timelines.messages(access, { direction, from: rig.timelines.position(token), limit: 1 })
    expect((await on('b', around.start)).chunk.map(idOf)).toEqual([ids[1]])
    expect((await on('f', around.end)).chunk.map(idOf)).toEqual([ids[8]])
    expect(await context(alice, roomId, middle, 0)).toMatchObject({ event: middle, before: [], after: [] })
    expect(await context(alice, roomId, middle, 1)).toMatchObject({ before: [], after: [ids[5]] })
  })

  test('has the state at its last event, and of members only those who speak where they are loaded lazily', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat', name: 'old' })
    await rig.memberships.join(bob, roomId)
    const ids = await texts(bob, roomId, 2)
    await rig.set(alice, roomId, 'm.room.name', { name: 'new' })
    await rig.memberships.join(carol, roomId)
    const nameIn = (state: Array<{ type: string; content: { name?: string } }>) =>
      state.find((event) => event.type === 'm.room.name')?.content.name
    const membersIn = (state: Array<{ type: string; state_key: string }>) =>
      state.flatMap((event) => (event.type === 'm.room.member' ? [event.state_key] : [])).sort()
    const then = await context(carol, roomId, ids[0] as string, 2)
    expect(then.after).toEqual([ids[1]])
    expect(nameIn(then.state)).toBe('old')
    expect(membersIn(then.state)).toEqual([alice, bob])
    const later = await context(carol, roomId, ids[1] as string, 10, { lazy_load_members: true, types: ['m.room.m*', 'm.room.name'] })
    expect(nameIn(later.state)).toBe('new')
    expect(membersIn(later.state)).toEqual([alice, bob, carol])
    const lazy = await context(carol, roomId, ids[1] as string, 0, { lazy_load_members: true })
    expect(nameIn(lazy.state)).toBe('old')
    expect(membersIn(lazy.state)).toEqual([bob])
  })

  test('R28 is what its reader may see, and no more', async () => {
    const roomId = await rig.room(alice, {
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.history_visibility', content: { history_visibility: 'joined' } }],
    })
    const [hidden] = await texts(alice, roomId, 1)
    await rig.memberships.join(bob, roomId)
    const seen = await texts(alice, roomId, 3)
    await expect(context(bob, roomId, hidden as string)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(context(carol, roomId, seen[0] as string)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(context(bob, roomId, '$nothing')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    const other = await rig.room(bob)
    await expect(context(bob, other, seen[0] as string)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    expect((await context(bob, roomId, seen[0] as string)).before).not.toContain(hidden)
    await rig.memberships.leave(bob, roomId)
    await rig.set(alice, roomId, 'm.room.topic', { topic: 'behind his back' })
    const late = await texts(alice, roomId, 1)
    const around = await context(bob, roomId, seen[2] as string)
    expect(around.after).not.toContain(late[0])
    expect(JSON.stringify(around.state)).not.toContain('behind his back')
  })
})

test('a page of messages with nothing in it begins where later ones go on', async () => {
  const roomId = await rig.room(alice)
  const access = await rig.reads.access(alice, roomId)
  const nothing = compileRoomEventFilter({ types: ['org.example.nothing'] })
  const empty = [
    await rig.timelines.messages(access, { direction: 'b', limit: 0 }),
    await rig.timelines.messages(access, { direction: 'b', limit: 5, filter: nothing }),
  ]
  const [sent] = await texts(alice, roomId, 1)
  for (const { chunk, start } of empty) {
    expect(chunk).toEqual([])
    const later = await rig.timelines.messages(access, { direction: 'f', from: rig.timelines.position(start), limit: 5 })
    expect(later.chunk.map(idOf)).toEqual([sent])
  }
})

test('a page of padded events ends early, before it fills the memory; following the tokens shows all of them (R26)', async () => {
  const roomId = await rig.room(alice)
  const sent: string[] = []
  for (let i = 0; i < 90; i++) sent.push(await rig.text(alice, roomId, `${i} ${'x'.repeat(60_000)}`))
  const access = await rig.reads.access(alice, roomId)
  for (const direction of ['b', 'f'] as const) {
    const shown: string[] = []
    let from: number | undefined
    for (let pages = 0; pages < 10; pages++) {
      const { chunk, end } = await rig.timelines.messages(access, { direction, limit: 1000, ...(from !== undefined && { from }) })
      expect(chunk.join('').length).toBeLessThan(5_000_000)
      shown.push(...chunk.map(idOf))
      if (end === undefined) break
      from = rig.timelines.position(end)
    }
    expect(shown.filter((id) => sent.includes(id))).toEqual(direction === 'b' ? sent.toReversed() : sent)
    expect(new Set(shown).size).toBe(shown.length)
  }
})

describe('the event at a time', () => {
  const at = async (userId: string, roomId: string, ts: number, direction: 'b' | 'f') =>
    (await rig.timelines.atTime(await rig.reads.access(userId, roomId), ts, direction)).eventId

  /** Sends texts at the given times. */
  async function textsAt(roomId: string, times: readonly number[]): Promise<string[]> {
    const ids: string[] = []
    for (const ts of times) {
      const sent = await rig.writer.send(roomId, () => ({ type: 'm.room.message', sender: alice, content: { ts }, originServerTs: ts }))
      ids.push(sent.eventId)
    }
    return ids
  }

  test('is the closest one before or after', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat' })
    const start = Date.now() + 1_000_000
    const times = Array.from({ length: 300 }, (_, i) => start + i * 10)
    const ids = await textsAt(roomId, times)
    for (const i of [0, 1, 77, 150, 298, 299]) {
      expect(await at(alice, roomId, start + i * 10, 'f')).toBe(ids[i])
      expect(await at(alice, roomId, start + i * 10, 'b')).toBe(ids[i])
      expect(await at(alice, roomId, start + i * 10 + 3, 'b')).toBe(ids[i])
      if (i > 0) expect(await at(alice, roomId, start + i * 10 - 3, 'f')).toBe(ids[i])
    }
    await expect(at(alice, roomId, start + 3000, 'f')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(at(alice, roomId, 5, 'b')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    expect(await at(alice, roomId, 5, 'f')).not.toBe(ids[0])
    await expect(at(carol, await rig.room(alice), start, 'f')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })

  test('is found among events whose times do not quite rise, and the first of equal ones', async () => {
    const roomId = await rig.room(alice)
    const start = Date.now() + 1_000_000
    const ids = await textsAt(
      roomId,
      [10, 30, 20, 50, 40, 60, 70, 70, 70, 90].map((ts) => start + ts),
    )
    expect(await at(alice, roomId, start + 35, 'f')).toBe(ids[4])
    expect(await at(alice, roomId, start + 45, 'b')).toBe(ids[4])
    expect(await at(alice, roomId, start + 25, 'b')).toBe(ids[2])
    expect(await at(alice, roomId, start + 65, 'f')).toBe(ids[6])
    expect(await at(alice, roomId, start + 75, 'b')).toBe(ids[8])
  })

  test('R28 is one that its reader may see', async () => {
    const roomId = await rig.room(alice, {
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.history_visibility', content: { history_visibility: 'joined' } }],
    })
    const start = Date.now() - 1_000_000
    const hidden = await textsAt(
      roomId,
      Array.from({ length: 150 }, (_, i) => start + i),
    )
    await rig.memberships.join(bob, roomId)
    expect(hidden).not.toContain(await at(bob, roomId, start, 'f'))
    expect(hidden).toContain(await at(alice, roomId, start, 'f'))
    await expect(at(bob, roomId, start + 100, 'b')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await rig.memberships.leave(bob, roomId)
    const [late] = await texts(alice, roomId, 1)
    expect(await at(bob, roomId, Date.now() + 10_000, 'b')).not.toBe(late)
  })
})
