import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { compileRoomEventFilter } from '@weft/matrix'
import { EventWriter } from '../src/index.ts'
import { txnKey } from '../src/txn-ids.ts'
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

async function collect(parts: AsyncIterable<string>): Promise<Array<Record<string, never>>> {
  const all: Array<Record<string, never>> = []
  for await (const part of parts) all.push(JSON.parse(part))
  return all
}

test('a room of very many members is read whole into memory, though page by page', async () => {
  const roomId = await rig.room(alice, { preset: 'public_chat' })
  const members = Array.from({ length: 2100 }, (_, i) => `@crowd${i}:weft.test`)
  for (let i = 0; i < members.length; i += 100)
    await Promise.all(members.slice(i, i + 100).map((userId) => rig.memberships.join(userId, roomId)))
  const entries = async () =>
    [...(await rig.heads.get(roomId)).entries()].map(([type, key, { eventId }]) => `${type}|${key}|${eventId}`).sort()
  const before = await entries()
  rig.heads.clear()
  const after = await entries()
  expect(after.length).toBeGreaterThan(2100)
  expect(after).toEqual(before)
  await rig.text(members[2099] as string, roomId, 'hello')
})

describe.each(['10', '11', '12'])('a room of version %s', (room_version) => {
  test('is created, talked in, joined and left', async () => {
    const roomId = await rig.room(alice, { room_version, preset: 'public_chat', name: 'Loom', topic: 'Threads', invite: [carol] })
    expect(roomId.includes(':')).toBe(room_version !== '12')
    await rig.memberships.join(bob, roomId)
    const first = await rig.text(alice, roomId, 'hello')
    await rig.text(bob, roomId, 'hi')
    expect(await rig.bodies(bob, roomId)).toEqual(['hello', 'hi'])
    const event = JSON.parse(await rig.reads.event(bob, roomId, first))
    expect(event).toMatchObject({ room_id: roomId, sender: alice, type: 'm.room.message', unsigned: { membership: 'join' } })
    const state = await collect(rig.reads.state(await rig.reads.access(bob, roomId)))
    expect(state.map((e) => e.type).sort()).toEqual(
      [
        'm.room.create',
        'm.room.history_visibility',
        'm.room.join_rules',
        'm.room.member',
        'm.room.member',
        'm.room.member',
        'm.room.name',
        'm.room.power_levels',
        'm.room.topic',
      ].sort(),
    )
    await rig.memberships.leave(bob, roomId)
    await rig.text(alice, roomId, 'after bob')
    expect(await rig.bodies(bob, roomId)).toEqual(['hello', 'hi'])
    await expect(rig.text(bob, roomId, 'ghost')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })

  test('redacts', async () => {
    const roomId = await rig.room(alice, { room_version, preset: 'public_chat' })
    await rig.memberships.join(bob, roomId)
    const id = await rig.text(bob, roomId, 'oops')
    const other = await rig.text(alice, roomId, 'mine')
    const redact = (userId: string, eventId: string) =>
      rig.messages.redact({
        roomId,
        eventId,
        content: { reason: 'typo' },
        sender: { userId, deviceId: 'D' },
        txn: { txnId: eventId, path: `/redact/${eventId}` },
      })
    await expect(redact(bob, other)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    const redaction = await redact(bob, id)
    const pruned = JSON.parse(await rig.reads.event(alice, roomId, id))
    expect(pruned.content).toEqual({})
    expect(pruned.unsigned.redacted_because).toMatchObject({ event_id: redaction, sender: bob })
    await expect(redact(bob, '$x\u0000y')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })
})

describe('sending', () => {
  test('a transaction id makes one event, also after the memory of it is gone', async () => {
    const roomId = await rig.room(alice)
    const [one, two] = await Promise.all([rig.text(alice, roomId, 'once', 'T1'), rig.text(alice, roomId, 'once', 'T1')])
    expect(two).toBe(one)
    const later = await sendAgain(roomId)
    expect(later).toBe(one)
    expect(await rig.bodies(alice, roomId)).toEqual(['once'])
  })

  test('the device that sent an event finds its transaction id in it, wherever it reads, and nobody else does', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat' })
    await rig.memberships.join(bob, roomId)
    const eventId = await rig.text(alice, roomId, 'mine', 'T\u2603')
    const shown = async (userId: string, deviceId: string | undefined) => {
      const access = await rig.reads.access(userId, roomId, deviceId)
      const { chunk } = await rig.timelines.messages(access, { direction: 'b', limit: 1 })
      const around = await rig.timelines.context(userId, roomId, eventId, { limit: 0, deviceId })
      const texts = [...chunk, around.event, await rig.reads.event(userId, roomId, eventId, deviceId)]
      return new Set(texts.map((text) => JSON.parse(text).unsigned.transaction_id))
    }
    expect(await shown(alice, 'DEV')).toEqual(new Set(['T\u2603']))
    expect(await shown(alice, 'OTHER')).toEqual(new Set([undefined]))
    expect(await shown(alice, undefined)).toEqual(new Set([undefined]))
    expect(await shown(bob, 'DEV')).toEqual(new Set([undefined]))
  })

  test('an event that is read says how long ago it was sent', async () => {
    const roomId = await rig.room(alice)
    const eventId = await rig.text(alice, roomId, 'hello')
    const { unsigned } = JSON.parse(await rig.reads.event(alice, roomId, eventId))
    expect(unsigned.age).toBeGreaterThan(0)
    const [shown] = (await rig.timelines.messages(await rig.reads.access(alice, roomId), { direction: 'b', limit: 1 })).chunk
    expect(JSON.parse(shown as string).unsigned.age).toBeGreaterThan(unsigned.age)
  })

  /** The same transaction through a writer that has never seen it. */
  async function sendAgain(roomId: string): Promise<string> {
    const fresh = new EventWriter(rig.writerOptions)
    const path = `/send/${roomId}/T1`
    const key = txnKey({ userId: alice, deviceId: 'DEV', path, txnId: 'T1' })
    return fresh.sendOnce(key, roomId, () => ({
      type: 'm.room.message',
      sender: alice,
      content: { msgtype: 'm.text', body: 'once' },
      originServerTs: Date.now(),
      txn: { key, deviceId: 'DEV', txnId: 'T1' },
    }))
  }

  test('a warm send runs no statement of its own and shares the commit of others', async () => {
    const rooms = await Promise.all(Array.from({ length: 5 }, () => rig.room(alice)))
    await Promise.all(rooms.map((roomId) => rig.text(alice, roomId, 'warm')))
    const before = new Map(rig.database.db.statementCounts)
    await Promise.all(Array.from({ length: 50 }, (_, i) => rig.text(alice, rooms[i % 5] as string, `m${i}`)))
    // By kind: a statement for 8 rows is named after the one for a single row.
    const ran = new Map<string, number>()
    for (const [name, n] of rig.database.db.statementCounts) {
      const times = n - (before.get(name) ?? 0)
      const kind = name.replace(/\.\d+$/, '')
      if (times > 0 && !name.startsWith('ids.')) ran.set(kind, (ran.get(kind) ?? 0) + times)
    }
    expect([...ran.keys()].sort()).toEqual(['events.insert', 'events.insertTxns', 'streamPositions.store'])
    const inserts = ran.get('events.insert')!
    expect(inserts).toBeLessThanOrEqual(10)
  })

  test('events of one room keep the order in which they were sent', async () => {
    const roomId = await rig.room(alice)
    await Promise.all(Array.from({ length: 40 }, (_, i) => rig.text(alice, roomId, `n${i}`)))
    expect(await rig.bodies(alice, roomId)).toEqual(Array.from({ length: 40 }, (_, i) => `n${i}`))
  })

  test('the same state again makes no event', async () => {
    const roomId = await rig.room(alice)
    const set = () =>
      rig.messages.setState({ roomId, type: 'm.room.name', stateKey: '', content: { name: 'A' }, sender: { userId: alice, deviceId: 'D' } })
    expect(await set()).toBe(await set())
  })

  test('R43 R44 R03 types and keys of any kind are kept apart', async () => {
    const roomId = await rig.room(alice)
    const keys = [
      ['constructor', '__proto__'],
      ['a\u0000b', 'c'],
      ['a', 'b\u0000c'],
      ['a\u0001', ''],
      ['toString', ''],
    ] as const
    for (const [type, stateKey] of keys) {
      await rig.messages.setState({
        roomId,
        type,
        stateKey,
        content: { v: `${type}|${stateKey}` },
        sender: { userId: alice, deviceId: 'D' },
      })
    }
    const access = await rig.reads.access(alice, roomId)
    for (const [type, stateKey] of keys) {
      expect((await rig.reads.stateEvent(access, type, stateKey)).content).toEqual({ v: `${type}|${stateKey}` })
    }
    await expect(rig.reads.stateEvent(access, 'hasOwnProperty', '')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  test('a head that was evicted is read back as it was', async () => {
    const small = await RoomsRig.start({ headBytes: 1 })
    try {
      const a = await small.room(alice, { preset: 'public_chat' })
      const b = await small.room(alice, { preset: 'public_chat' })
      for (let i = 0; i < 5; i++) {
        await small.text(alice, a, `a${i}`)
        await small.memberships.join(small.user(`u${i}`), a)
        await small.text(alice, b, `b${i}`)
        // What was evicted comes back by itself as long as the collector has not been there.
        small.heads.clear()
      }
      expect(await small.bodies(alice, a)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4'])
      expect(small.heads.figures.loads).toBeGreaterThan(4)
      const members = []
      for await (const part of small.reads.members(await small.reads.access(alice, a), {})) members.push(JSON.parse(part).state_key)
      expect(members.sort()).toEqual([alice, ...Array.from({ length: 5 }, (_, i) => small.user(`u${i}`))].sort())
    } finally {
      await small.stop()
    }
  })
})

describe('creating', () => {
  test('H5 the same user makes rooms at once', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => rig.room(alice)))
    expect(new Set(ids).size).toBe(20)
  })

  test('H1 H4 creators are not listed in the power levels and may be several', async () => {
    const roomId = await rig.room(alice, { preset: 'trusted_private_chat', invite: [bob] })
    const access = await rig.reads.access(alice, roomId)
    expect((await rig.reads.stateEvent(access, 'm.room.create', '')).content).toMatchObject({ additional_creators: [bob] })
    expect((await rig.reads.stateEvent(access, 'm.room.power_levels', '')).content).toMatchObject({ users: {} })
    await expect(rig.room(alice, { power_level_content_override: { users: { [alice]: 100 } } })).rejects.toMatchObject({
      errcode: 'M_INVALID_PARAM',
    })
  })

  test('an alias is taken once, also by rooms made at once', async () => {
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => rig.room(alice, { room_alias_name: 'weaving' })))
    expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1)
    for (const r of results) if (r.status === 'rejected') expect(r.reason).toMatchObject({ errcode: 'M_ROOM_IN_USE' })
  })

  test('unknown versions and impossible first states are refused', async () => {
    await expect(rig.room(alice, { room_version: '999' })).rejects.toMatchObject({ errcode: 'M_UNSUPPORTED_ROOM_VERSION' })
    await expect(
      rig.room(alice, { room_version: '11', power_level_content_override: { users: { [bob]: 100 } }, name: 'x' }),
    ).rejects.toMatchObject({
      errcode: 'M_INVALID_ROOM_STATE',
    })
    await expect(rig.room(alice, { invite: ['nobody'] })).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
  })
})

describe('membership', () => {
  test('invite, kick, ban, unban, forget', async () => {
    const roomId = await rig.room(alice)
    await expect(rig.memberships.join(bob, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await rig.memberships.invite(alice, bob, roomId, { reason: 'come' })
    await rig.memberships.join(bob, roomId)
    await expect(rig.memberships.kick(bob, alice, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await expect(rig.memberships.forget(bob, roomId)).rejects.toMatchObject({ errcode: 'M_UNKNOWN', status: 400 })
    await rig.memberships.kick(alice, bob, roomId)
    await expect(rig.memberships.kick(alice, bob, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await rig.memberships.ban(alice, bob, roomId)
    await expect(rig.memberships.invite(alice, bob, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await rig.memberships.forget(bob, roomId)
    await rig.memberships.unban(alice, bob, roomId)
    await expect(rig.memberships.unban(alice, bob, roomId)).rejects.toMatchObject({ errcode: 'M_BAD_STATE', status: 403 })
    await expect(rig.memberships.unban(bob, alice, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })

  test('who left reads up to the departure, also when banned later, and nothing after forgetting the room', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat' })
    await rig.memberships.join(bob, roomId)
    const heard = await rig.text(alice, roomId, 'heard')
    await rig.memberships.kick(alice, bob, roomId)
    await rig.text(alice, roomId, 'missed')
    expect(await rig.bodies(bob, roomId)).toEqual(['heard'])
    await rig.memberships.ban(alice, bob, roomId)
    expect(await rig.bodies(bob, roomId)).toEqual(['heard'])
    expect(await rig.reads.event(bob, roomId, heard)).toContain('heard')
    await rig.memberships.forget(bob, roomId)
    await expect(rig.reads.access(bob, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await expect(rig.reads.event(bob, roomId, heard)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await rig.memberships.unban(alice, bob, roomId)
    await rig.memberships.join(bob, roomId)
    expect(await rig.bodies(bob, roomId)).toEqual(['heard', 'missed'])
  })

  test('R29 who left is shown senders as they were then, where members are loaded lazily', async () => {
    const roomId = await rig.room(alice, { preset: 'public_chat' })
    await rig.memberships.join(bob, roomId)
    const rename = (displayname: string) => rig.set(alice, roomId, 'm.room.member', { membership: 'join', displayname }, alice)
    await rename('Then')
    await rig.text(alice, roomId, 'heard')
    await rig.memberships.leave(bob, roomId)
    await rename('Now')
    const senders = async (userId: string) => {
      const filter = compileRoomEventFilter({ lazy_load_members: true, types: ['m.room.message'] })
      const page = await rig.timelines.messages(await rig.reads.access(userId, roomId), { direction: 'b', limit: 10, filter })
      return page.state.map((text) => JSON.parse(text).content.displayname)
    }
    expect(await senders(bob)).toEqual(['Then'])
    expect(await senders(alice)).toEqual(['Now'])
  })

  test('restricted rooms let in who is in an allowed room', async () => {
    const club = await rig.room(alice, { preset: 'public_chat' })
    const roomId = await rig.room(alice, {
      initial_state: [
        { type: 'm.room.join_rules', content: { join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: club }] } },
      ],
    })
    await expect(rig.memberships.join(carol, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await rig.memberships.join(carol, club)
    await rig.memberships.join(carol, roomId)
    const member = await rig.reads.stateEvent(await rig.reads.access(carol, roomId), 'm.room.member', carol)
    expect(member.content).toMatchObject({ membership: 'join', join_authorised_via_users_server: alice })
  })

  test('R26 a room whose visibility and members changed many times, at length, is judged as any other, and read once', async () => {
    const visibility = (history_visibility: string, n = 0) =>
      rig.set(alice, roomId, 'm.room.history_visibility', { history_visibility, n, padding: 'x'.repeat(3000) })
    const roomId = await rig.room(alice, { preset: 'public_chat' })
    await visibility('joined')
    await rig.text(alice, roomId, 'secret')
    await rig.set(bob, roomId, 'm.room.member', { membership: 'join', padding: 'x'.repeat(3000) }, bob)
    for (let n = 0; n < 60; n++) await visibility('shared', n)
    await rig.text(alice, roomId, 'open')
    await rig.memberships.leave(bob, roomId)
    await visibility('x'.repeat(500))
    await rig.text(alice, roomId, 'later')
    const longRead = () => rig.database.db.statementCounts.get('events.longTexts') ?? 0
    const before = longRead()
    expect(await rig.bodies(bob, roomId)).toEqual(['open'])
    expect(longRead()).toBe(before + 2)
    expect(await rig.bodies(bob, roomId)).toEqual(['open'])
    expect(longRead()).toBe(before + 2)
    const then = await rig.reads.stateEvent(await rig.reads.access(bob, roomId), 'm.room.history_visibility', '')
    expect(then.content).toMatchObject({ history_visibility: 'shared', n: 59 })
  })

  test('R28 history before joining is hidden where it is for members only, in every read', async () => {
    const roomId = await rig.room(alice, {
      preset: 'public_chat',
      initial_state: [{ type: 'm.room.history_visibility', content: { history_visibility: 'joined' } }],
    })
    const secret = await rig.text(alice, roomId, 'secret')
    await rig.memberships.join(bob, roomId)
    await rig.text(alice, roomId, 'open')
    expect(await rig.bodies(bob, roomId)).toEqual(['open'])
    await expect(rig.reads.event(bob, roomId, secret)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    await expect(rig.reads.access(carol, roomId)).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })
})
