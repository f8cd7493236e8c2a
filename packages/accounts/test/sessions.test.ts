import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { Metrics } from '@weft/kernel'
import { TokensReader } from '@weft/storage'
import { LastSeen, MAX_DEVICES, makeAccessToken, showAccounts, TokenAuthenticator } from '../src/index.ts'
import { AccountsRig, device } from './rig.ts'

let rig: AccountsRig
beforeAll(async () => {
  rig = await AccountsRig.start()
})
afterAll(() => rig.stop())
beforeEach(() => {
  rig.acked.length = 0
  rig.fresh = true
})

describe('access tokens', () => {
  test('R31 have 192 random bits and are stored as a hash only', async () => {
    expect(makeAccessToken('alice')).toMatch(/^wft_YWxpY2U_[A-Za-z0-9_-]{32}$/)
    expect(makeAccessToken('alice')).not.toBe(makeAccessToken('alice'))
    const { accessToken } = await rig.register('hashed')
    const rows = await rig.run(`SELECT encode(token_hash, 'escape') AS hash FROM access_tokens WHERE user_id = '@hashed:weft.test'`)
    expect(JSON.stringify(rows)).not.toContain(accessToken)
  })

  test('are looked up once while the replica is fresh, and each time while it is not', async () => {
    const { accessToken } = await rig.register('cached')
    const lookups = () => rig.database.db.statementCounts.get('tokens.byHash') ?? 0
    const before = lookups()
    for (let i = 0; i < 5; i++) await rig.authenticator.authenticate(accessToken)
    expect(lookups() - before).toBe(1)
    rig.fresh = false
    for (let i = 0; i < 5; i++) await rig.authenticator.authenticate(accessToken)
    expect(lookups() - before).toBe(6)
  })

  test('that are unknown are looked up each time', async () => {
    const { accessToken } = await rig.register('typo')
    expect(await rig.authenticator.authenticate(`${accessToken}x`)).toBeUndefined()
    expect(await rig.authenticator.authenticate('')).toBeUndefined()
  })

  test('R23 end with their account, and a change of it reaches those in memory', async () => {
    const { accessToken, userId } = await rig.register('changed')
    await rig.authenticator.authenticate(accessToken)
    await rig.run('UPDATE users SET locked = true WHERE name = $1', [userId])
    rig.authenticator.forget(userId)
    expect(await rig.authenticator.authenticate(accessToken)).toMatchObject({ locked: true })
    await rig.run('UPDATE users SET deactivated = true WHERE name = $1', [userId])
    rig.authenticator.forget(userId)
    expect(await rig.authenticator.authenticate(accessToken)).toBeUndefined()
  })

  test('that expire do so in memory too', async () => {
    const { accessToken, userId } = await rig.register('expires')
    await rig.run('UPDATE access_tokens SET valid_until_ms = $2 WHERE user_id = $1', [userId, rig.clock.now() + 1000])
    expect(await rig.authenticator.authenticate(accessToken)).toMatchObject({ userId })
    rig.clock.advance(1000)
    expect(await rig.authenticator.authenticate(accessToken)).toBeUndefined()
  })

  test('are not kept when news arrived during the look-up', async () => {
    const { accessToken, userId, deviceId } = await rig.register('raced')
    const looking = rig.authenticator.authenticate(accessToken)
    rig.authenticator.forget(userId, deviceId)
    await looking
    const before = rig.database.db.statementCounts.get('tokens.byHash')
    await rig.authenticator.authenticate(accessToken)
    expect(rig.database.db.statementCounts.get('tokens.byHash')).toBe(before! + 1)
  })

  test('take a bounded number of bytes in memory', async () => {
    const small = new TokenAuthenticator({
      tokens: new TokensReader(rig.database.db),
      clock: rig.clock,
      isFresh: () => true,
      cacheBytes: 2000,
    })
    for (let i = 0; i < 6; i++) await small.authenticate((await rig.register(`many${i}`)).accessToken)
    expect(small.cachedBytes).toBeLessThanOrEqual(2000)
    expect(small.cachedBytes).toBeGreaterThan(1000)
  })
})

describe('sessions', () => {
  test('a logout deletes the device, its token and inbox, and waits for the others', async () => {
    const alice = await rig.register('alice')
    const other = await rig.accounts.sessions.create(alice.userId, device('OTHER'))
    await rig.authenticator.authenticate(alice.accessToken)
    await rig.run(`INSERT INTO device_inbox (user_id, device_id, stream_id, message_json) VALUES ($1, 'DEVICE', 1, '{}')`, [alice.userId])
    const owner = (await rig.authenticator.authenticate(alice.accessToken))!
    await rig.accounts.sessions.logout(owner)
    expect(await rig.authenticator.authenticate(alice.accessToken)).toBeUndefined()
    expect(await rig.authenticator.authenticate(other.accessToken)).toMatchObject({ deviceId: 'OTHER' })
    expect(await rig.reads.devices.list(alice.userId)).toMatchObject([{ device_id: 'OTHER' }])
    expect(await rig.run('SELECT 1 AS one FROM device_inbox WHERE user_id = $1', [alice.userId])).toEqual([])
    const row = rig.rows('device_changes').at(-1)!
    expect(row).toMatchObject({ userId: alice.userId, deviceId: 'DEVICE', change: 'device_deleted' })
    expect(rig.acked).toEqual([row.position])
  })

  test('logout of all ends every session with one row', async () => {
    const bob = await rig.register('bob')
    const other = await rig.accounts.sessions.create(bob.userId, device())
    await rig.accounts.sessions.logoutAll(bob.userId)
    for (const token of [bob.accessToken, other.accessToken]) expect(await rig.authenticator.authenticate(token)).toBeUndefined()
    expect(await rig.reads.devices.list(bob.userId)).toEqual([])
    expect(rig.rows('device_changes').at(-1)).toMatchObject({ userId: bob.userId, change: 'tokens_revoked' })
    expect(rig.rows('device_changes').at(-1)!.deviceId).toBeUndefined()
    expect(rig.acked).toHaveLength(1)
  })

  test('a login on a device that is deleted at the same time leaves no token without a device', async () => {
    const { userId } = await rig.register('racer')
    for (let i = 0; i < 10; i++) {
      await Promise.all([
        rig.accounts.sessions.create(userId, device('DEVICE')),
        rig.accounts.sessions.deleteDevices(userId, ['DEVICE']),
        rig.accounts.sessions.create(userId, device('DEVICE')),
        rig.accounts.sessions.logoutAll(userId),
      ])
      const orphans =
        'SELECT 1 AS one FROM access_tokens t WHERE user_id = $1 AND NOT EXISTS (SELECT FROM devices d WHERE d.user_id = t.user_id AND d.device_id = t.device_id)'
      expect(await rig.run(orphans, [userId])).toEqual([])
      expect((await rig.run('SELECT 1 AS one FROM access_tokens WHERE user_id = $1', [userId])).length).toBeLessThanOrEqual(1)
    }
  })

  test('a login on a known device keeps its name and ends its other tokens', async () => {
    const carol = await rig.register('carol')
    await rig.accounts.sessions.rename(carol.userId, 'DEVICE', 'Phone')
    await rig.authenticator.authenticate(carol.accessToken)
    const again = await rig.accounts.sessions.create(carol.userId, { ...device('DEVICE'), displayName: 'ignored' })
    expect(await rig.authenticator.authenticate(carol.accessToken)).toBeUndefined()
    expect(await rig.authenticator.authenticate(again.accessToken)).toMatchObject({ deviceId: 'DEVICE' })
    expect(await rig.reads.devices.get(carol.userId, 'DEVICE')).toMatchObject({ display_name: 'Phone' })
    expect(rig.acked).toHaveLength(1)
  })

  test('deleting devices passes over those that are not there', async () => {
    const dave = await rig.register('dave')
    await rig.accounts.sessions.deleteDevices(dave.userId, ['NOT', 'DEVICE', 'DEVICE', '__proto__'])
    expect(await rig.reads.devices.list(dave.userId)).toEqual([])
    await rig.accounts.sessions.deleteDevices(dave.userId, ['DEVICE'])
    await rig.accounts.sessions.deleteDevices(dave.userId, [])
    expect(rig.rows('device_changes').filter((row) => row.userId === dave.userId && row.change === 'device_deleted')).toHaveLength(1)
  })

  test('a device of another user stays, whatever its name', async () => {
    const [eve, frank] = [await rig.register('eve'), await rig.register('frank')]
    await rig.accounts.sessions.deleteDevices(eve.userId, ['DEVICE'])
    expect(await rig.authenticator.authenticate(frank.accessToken)).toMatchObject({ userId: frank.userId })
    expect(await rig.accounts.sessions.rename(eve.userId, 'DEVICE', 'x')).toBe(false)
  })

  test('R26 devices are capped: the one not seen for longest makes room', async () => {
    const { userId } = await rig.register('hoarder', 'FIRST')
    await rig.run(`INSERT INTO devices (user_id, device_id, last_seen) SELECT $1, 'D' || n, n FROM generate_series(1, $2::int) AS n`, [
      userId,
      MAX_DEVICES - 1,
    ])
    await rig.accounts.sessions.create(userId, device('LAST'))
    const ids = (await rig.reads.devices.list(userId)).map((one) => one.device_id)
    expect(ids).toHaveLength(MAX_DEVICES)
    expect(ids).toEqual(expect.arrayContaining(['FIRST', 'LAST', 'D2']))
    expect(ids).not.toContain('D1')
  })

  test('R23 are not made for an account that was deactivated meanwhile', async () => {
    const { userId } = await rig.register('meanwhile')
    await rig.run('UPDATE users SET deactivated = true WHERE name = $1', [userId])
    for (const id of [userId, '@never:weft.test']) {
      await expect(rig.accounts.sessions.create(id, device())).rejects.toMatchObject({ errcode: 'M_USER_DEACTIVATED' })
    }
    expect(await rig.run(`SELECT 1 AS one FROM devices WHERE user_id = '@never:weft.test'`)).toEqual([])
  })

  test.each([
    ['', undefined],
    ['x'.repeat(256), undefined],
    ['a\0', undefined],
    ['OK', 'x'.repeat(513)],
  ])('refuses a device %j named %j', async (deviceId, displayName) => {
    await expect(rig.accounts.sessions.create('@alice:weft.test', { ...device(deviceId), displayName })).rejects.toMatchObject({
      errcode: 'M_INVALID_PARAM',
    })
  })
})

describe('last seen', () => {
  test('is written at the flush, in one statement, forwards only', async () => {
    const { userId } = await rig.register('seen')
    const { db } = rig.database
    const lastSeen = new LastSeen({ db, clock: rig.clock })
    rig.clock.advance(1000)
    for (let i = 0; i < 100; i++) lastSeen.note({ userId, deviceId: 'DEVICE' }, { ip: `10.0.0.${i}`, userAgent: 'a\0b\ud800' })
    lastSeen.note({ userId, deviceId: 'GONE' }, { ip: '1.1.1.1', userAgent: '' })
    lastSeen.note({ userId, deviceId: undefined }, { ip: '1.1.1.1', userAgent: '' })
    await lastSeen.flush()
    await lastSeen.flush()
    expect(db.statementCounts.get('devices.see')).toBe(1)
    const seen = { device_id: 'DEVICE', last_seen_ip: '10.0.0.99', last_seen_ts: rig.clock.now() }
    expect(await rig.reads.devices.get(userId, 'DEVICE')).toEqual(seen)
    const late = new LastSeen({ db, clock: { now: () => rig.clock.now() - 500 } })
    late.note({ userId, deviceId: 'DEVICE' }, { ip: '10.9.9.9', userAgent: '' })
    await late.flush()
    expect(await rig.reads.devices.get(userId, 'DEVICE')).toEqual(seen)
  })

  test('notes a bounded number of devices between two flushes', async () => {
    const lastSeen = new LastSeen({ db: rig.database.db, clock: rig.clock, maxDevices: 1 })
    const [a, b] = [await rig.register('seen-a'), await rig.register('seen-b')]
    rig.clock.advance(1000)
    for (const { userId } of [a, b]) lastSeen.note({ userId, deviceId: 'DEVICE' }, { ip: '9.9.9.9', userAgent: '' })
    await lastSeen.flush()
    expect((await rig.reads.devices.get(a.userId, 'DEVICE')).last_seen_ip).toBe('9.9.9.9')
    expect((await rig.reads.devices.get(b.userId, 'DEVICE')).last_seen_ip).toBe('10.0.0.1')
  })
})

test('a writer that was replaced makes no session and writes nothing else', async () => {
  const old = await AccountsRig.start()
  try {
    const alice = await old.register('alice')
    await old.run('UPDATE writer_epoch SET epoch = epoch + 1')
    await expect(old.accounts.sessions.create(alice.userId, device('NEW'))).rejects.toMatchObject({ name: 'FencedError' })
    await expect(old.accounts.sessions.logout({ ...alice, accessTokenId: 1 })).rejects.toMatchObject({ name: 'FencedError' })
    await expect(old.accounts.filters.create(alice.userId, {})).rejects.toMatchObject({ name: 'FencedError' })
    await expect(old.accounts.profiles.set(alice.userId, 'displayname', { displayname: 'x' })).rejects.toMatchObject({
      name: 'FencedError',
    })
    expect(await old.reads.devices.list(alice.userId)).toHaveLength(1)
    expect(await old.run('SELECT 1 AS one FROM user_filters')).toEqual([])
    expect(old.acked).toEqual([])
  } finally {
    await old.stop()
  }
})

test('metrics show tokens and passwords', async () => {
  const metrics = new Metrics()
  const end = showAccounts(metrics, { authenticator: rig.authenticator, hasher: rig.accounts.hasher })
  const before = await metrics.value('weft_access_token_lookups_total', { outcome: 'refused' })
  await rig.authenticator.authenticate('wft_x_nothing')
  expect(await metrics.value('weft_access_token_lookups_total', { outcome: 'refused' })).toBe(before + 1)
  expect(await metrics.value('weft_password_hashes_total')).toBeGreaterThan(0)
  expect(await metrics.value('weft_access_token_cache_bytes')).toBe(rig.authenticator.cachedBytes)
  end()
})
