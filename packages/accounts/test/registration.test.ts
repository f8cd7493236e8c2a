import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sharedSecretMac } from '../src/index.ts'
import { AccountsRig, device } from './rig.ts'

let rig: AccountsRig
beforeAll(async () => {
  rig = await AccountsRig.start()
})
afterAll(() => rig.stop())

const register = (username: string | undefined, more: object = {}) =>
  rig.accounts.registration.register({ username, password: 'secret', device: device(), ...more })

describe('registration', () => {
  test('makes account, device and token in one transaction', async () => {
    const { userId, session } = await register('alice')
    expect(userId).toBe('@alice:weft.test')
    expect(session!.deviceId).toMatch(/^[A-Z]{10}$/)
    const owner = await rig.authenticator.authenticate(session!.accessToken)
    expect(owner).toMatchObject({ userId, deviceId: session!.deviceId, isAdmin: false, locked: false })
    expect(rig.rows('device_changes').at(-1)).toMatchObject({ userId, deviceId: session!.deviceId, change: 'device_created' })
  })

  test('maps capitals to small letters, so one name is one account', async () => {
    expect((await register('BOB')).userId).toBe('@bob:weft.test')
    await expect(register('bob')).rejects.toMatchObject({ errcode: 'M_USER_IN_USE', status: 400 })
    await expect(rig.accounts.registration.requireAvailable('Bob')).rejects.toMatchObject({ errcode: 'M_USER_IN_USE' })
  })

  test.each(['', 'a b', 'ü', 'a:b', 'a\0b', '\u212A', 'x'.repeat(250)])('refuses the name %j', async (name) => {
    await expect(register(name)).rejects.toMatchObject({ errcode: 'M_INVALID_USERNAME', status: 400 })
  })

  test('makes a name up for who has none', async () => {
    expect((await register(undefined)).userId).toMatch(/^@[a-z2-7]{16}:weft\.test$/)
  })

  test('makes no session where none is wanted', async () => {
    expect(await register('quiet', { device: undefined })).toEqual({ userId: '@quiet:weft.test' })
  })

  test('lets one of two rivals have the name', async () => {
    const results = await Promise.allSettled([register('rival'), register('rival'), register('rival')])
    expect(results.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
    expect(await rig.run(`SELECT device_id FROM devices WHERE user_id = '@rival:weft.test'`)).toHaveLength(1)
  })

  test.each([
    ['', 'M_WEAK_PASSWORD'],
    ['x'.repeat(513), 'M_INVALID_PARAM'],
  ])('refuses a password that is empty or endless', async (password, errcode) => {
    await expect(register('weak', { password })).rejects.toMatchObject({ errcode })
  })

  test('uses a registration token up, and not beyond', async () => {
    await rig.run(`INSERT INTO registration_tokens (token, uses_allowed) VALUES ('twice', 2)`)
    expect(await rig.accounts.registration.isTokenValid('twice')).toBe(true)
    const results = await Promise.allSettled([1, 2, 3].map((n) => register(`token${n}`, { token: 'twice' })))
    expect(results.filter((one) => one.status === 'fulfilled')).toHaveLength(2)
    expect(await rig.accounts.registration.isTokenValid('twice')).toBe(false)
    expect(await rig.run(`SELECT name FROM users WHERE name LIKE '@token%'`)).toHaveLength(2)
  })

  test('knows no token that has expired or never was', async () => {
    await rig.run(`INSERT INTO registration_tokens (token, expiry_time) VALUES ('old', $1)`, [rig.clock.now()])
    expect(await rig.accounts.registration.isTokenValid('old')).toBe(false)
    expect(await rig.accounts.registration.isTokenValid('never')).toBe(false)
    expect(await rig.accounts.registration.isTokenValid('a\0b')).toBe(false)
  })
})

describe('registration by shared secret', () => {
  const request = (more: object = {}) => {
    const facts = { nonce: rig.accounts.sharedSecret.makeNonce(), username: 'admin', password: 'secret', admin: true, ...more }
    return { ...facts, mac: sharedSecretMac('shared secret', facts) }
  }

  test('takes the MAC that Synapse computes', () => {
    const facts = { nonce: 'abcd', username: 'pepper_roni', password: 'pizza', admin: true }
    // hmac.new(b'shared secret', b'abcd\0pepper_roni\0pizza\0admin', sha1).hexdigest()
    expect(sharedSecretMac('shared secret', facts)).toBe('c87f6b91b539dfe3d9a2f2ff10c1254fd0ab6398')
    expect(() => rig.accounts.sharedSecret.verify(request())).not.toThrow()
  })

  test('takes a nonce once, right or wrong', () => {
    const right = request()
    expect(() => rig.accounts.sharedSecret.verify({ ...right, mac: `${right.mac.slice(1)}0` })).toThrow('HMAC incorrect')
    expect(() => rig.accounts.sharedSecret.verify(right)).toThrow('unrecognised nonce')
  })

  test('binds the MAC to all that was asked for', () => {
    expect(() => rig.accounts.sharedSecret.verify({ ...request({ admin: false }), admin: true })).toThrow('HMAC incorrect')
    expect(() => rig.accounts.sharedSecret.verify({ ...request(), username: 'other' })).toThrow('HMAC incorrect')
    expect(() => rig.accounts.sharedSecret.verify({ ...request(), mac: 'é'.repeat(40) })).toThrow('HMAC incorrect')
  })

  test('forgets nonces after a minute, and the oldest of too many', () => {
    const late = request()
    rig.clock.advance(61_000)
    expect(() => rig.accounts.sharedSecret.verify(late)).toThrow('unrecognised nonce')
    const first = request()
    for (let i = 0; i < 1_000; i++) rig.accounts.sharedSecret.makeNonce()
    expect(() => rig.accounts.sharedSecret.verify(first)).toThrow('unrecognised nonce')
  })
})
