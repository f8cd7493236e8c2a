import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type JsonObject, parseJsonObject } from '@weft/matrix'
import { MembershipsReader } from '@weft/storage'
import { type MemberProfile, ProfilePropagation } from '../src/index.ts'
import { AccountsRig } from './rig.ts'

let rig: AccountsRig
let alice: string
beforeAll(async () => {
  rig = await AccountsRig.start()
  alice = (await rig.register('alice')).userId
})
afterAll(() => rig.stop())

const set = (key: string, body: JsonObject, userId = alice) => rig.accounts.profiles.set(userId, key, body)

describe('profiles', () => {
  test('do not tell an account without one from no account', async () => {
    for (const userId of [alice, '@nobody:weft.test', '@x:elsewhere', 'nonsense', '@a\ud800:weft.test']) {
      await expect(rig.reads.profiles.get(userId)).rejects.toMatchObject({ errcode: 'M_NOT_FOUND', status: 404 })
      await expect(rig.reads.profiles.field(userId, 'displayname')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
    }
  })

  test('have the fields of the spec and custom ones of any type', async () => {
    await set('displayname', { displayname: 'Alice' })
    await set('avatar_url', { avatar_url: 'mxc://weft.test/abc' })
    await set('m.tz', { 'm.tz': 'Europe/London' })
    await set('org.example.pets', parseJsonObject('{"org.example.pets":[{"age":1.50},null]}'))
    await set('org.example.nothing', { 'org.example.nothing': null })
    expect(JSON.stringify(await rig.reads.profiles.get(alice))).toBe(
      '{"avatar_url":"mxc://weft.test/abc","displayname":"Alice","m.tz":"Europe/London","org.example.nothing":null,"org.example.pets":[{"age":1.50},null]}',
    )
    expect(await rig.reads.profiles.field(alice, 'displayname')).toBe('Alice')
    await rig.accounts.profiles.delete(alice, 'org.example.pets')
    await rig.accounts.profiles.delete(alice, 'org.example.pets')
    await expect(rig.reads.profiles.field(alice, 'org.example.pets')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })

  test.each([
    ['displayname', {}, 'M_MISSING_PARAM'],
    ['displayname', { displayname: 1 }, 'M_BAD_JSON'],
    ['displayname', { displayname: null }, 'M_BAD_JSON'],
    ['displayname', { displayname: 'x'.repeat(257) }, 'M_INVALID_PARAM'],
    ['avatar_url', { avatar_url: 'https://example.org/a.png' }, 'M_INVALID_PARAM'],
    ['avatar_url', { avatar_url: `mxc://weft.test/${'x'.repeat(1000)}` }, 'M_INVALID_PARAM'],
    ['m.tz', { 'm.tz': {} }, 'M_BAD_JSON'],
    ['constructor', { constructor: 'x' }, 'M_INVALID_PARAM'],
    ['__proto__', {}, 'M_INVALID_PARAM'],
    ['Upper.Case', { 'Upper.Case': 1 }, 'M_INVALID_PARAM'],
    ['plain', { plain: 1 }, 'M_INVALID_PARAM'],
    [`org.${'x'.repeat(252)}`, {}, 'M_KEY_TOO_LARGE'],
    ['org.example.constructor', {}, 'M_MISSING_PARAM'],
  ])('refuse %s as %j', async (key, body, errcode) => {
    await expect(set(key, body as unknown as JsonObject)).rejects.toMatchObject({ errcode })
  })

  test('R26 are at most 64 KiB, rivals counted', async () => {
    const { userId } = await rig.register('wordy')
    const value = 'é'.repeat(10_000)
    const results = await Promise.allSettled([1, 2, 3, 4, 5].map((n) => set(`org.example.k${n}`, { [`org.example.k${n}`]: value }, userId)))
    expect(results.filter((one) => one.status === 'fulfilled')).toHaveLength(3)
    for (const one of results)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ errcode: 'M_PROFILE_TOO_LARGE', status: 400 })
    expect(Buffer.byteLength(JSON.stringify(await rig.reads.profiles.get(userId)))).toBeLessThanOrEqual(65_536)
  })

  test('have no name when it is empty', async () => {
    const { userId } = await rig.register('nameless')
    await set('displayname', { displayname: 'X' }, userId)
    await set('displayname', { displayname: '' }, userId)
    await expect(rig.reads.profiles.field(userId, 'displayname')).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' })
  })
})

describe('a changed profile', () => {
  const refreshed: { userId: string; roomNid: number; profile: MemberProfile }[] = []
  let failIn = 0
  let onRefresh = async (_count: number): Promise<void> => {}
  const propagation = () =>
    new ProfilePropagation({
      db: rig.database.db,
      fenced: rig.fenced,
      rooms: new MembershipsReader(rig.database.db),
      refresher: {
        async refreshMemberProfile(userId, roomNid, profile) {
          if (roomNid === failIn) throw new Error('not in this room')
          refreshed.push({ userId, roomNid, profile })
          await onRefresh(refreshed.length)
        },
      },
      log: { info() {}, warn() {} },
    })

  beforeAll(async () => {
    for (let n = 100; n < 150; n++) await rig.room(n, [alice, ...(n < 103 ? ['@bob:weft.test'] : [])])
    await rig.room(200, [alice], 'leave')
    await rig.run('DELETE FROM profile_propagations')
    rig.profileChanges.length = 0
  })

  test('reaches all joined rooms, once, and those of other users', async () => {
    await rig.register('bob')
    await set('displayname', { displayname: 'Alice A' })
    await set('displayname', { displayname: 'Bob' }, '@bob:weft.test')
    expect(rig.profileChanges).toEqual([alice, '@bob:weft.test'])
    failIn = 105
    await propagation().run()
    failIn = 0
    expect(refreshed.filter((one) => one.userId === alice).map((one) => one.roomNid)).toEqual(
      Array.from({ length: 50 }, (_, i) => 100 + i).filter((n) => n !== 105),
    )
    expect(refreshed.filter((one) => one.userId === '@bob:weft.test')).toHaveLength(3)
    expect(refreshed[0]!.profile).toEqual({ displayname: 'Alice A', avatar_url: 'mxc://weft.test/abc' })
    expect(await rig.run('SELECT * FROM profile_propagations')).toEqual([])
  })

  test('goes nowhere when it changed nothing, or nothing that rooms show', async () => {
    rig.profileChanges.length = 0
    await set('displayname', { displayname: 'Alice A' })
    await set('m.tz', { 'm.tz': 'Europe/Paris' })
    await rig.accounts.profiles.delete(alice, 'org.example.never')
    expect(rig.profileChanges).toEqual([])
    expect(await rig.run('SELECT * FROM profile_propagations')).toEqual([])
  })

  test('goes on after a restart where it stood', async () => {
    refreshed.length = 0
    await set('displayname', { displayname: 'Alice B' })
    const stop = new AbortController()
    onRefresh = async (count) => {
      if (count === 5) stop.abort(new Error('drain'))
    }
    await expect(propagation().run(stop.signal)).rejects.toThrow('drain')
    expect(refreshed).toHaveLength(20)
    onRefresh = async () => {}
    await propagation().run()
    expect(refreshed.map((one) => one.roomNid)).toEqual(Array.from({ length: 50 }, (_, i) => 100 + i))
  })

  test('starts over when it changes on the way', async () => {
    refreshed.length = 0
    await rig.accounts.profiles.delete(alice, 'avatar_url')
    onRefresh = async (count) => {
      if (count === 30) await set('displayname', { displayname: 'Alice C' })
    }
    await propagation().run()
    onRefresh = async () => {}
    const last = new Map(refreshed.map((one) => [one.roomNid, one.profile]))
    expect(last.size).toBe(50)
    for (const profile of last.values()) expect(profile).toEqual({ displayname: 'Alice C' })
  })
})
