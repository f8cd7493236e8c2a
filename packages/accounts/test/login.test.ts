import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { PasswordHasher } from '../src/index.ts'
import { AccountsRig, device } from './rig.ts'

let rig: AccountsRig
const verified: (string | undefined)[] = []

class WatchedHasher extends PasswordHasher {
  override async verify(passwordHash: string | undefined, password: string): Promise<boolean> {
    verified.push(passwordHash)
    return super.verify(passwordHash, password)
  }
}

beforeAll(async () => {
  rig = await AccountsRig.start({
    hasher: new WatchedHasher({ memoryCost: 8, timeCost: 1 }),
    loginLimits: { failedAttempts: { perSecond: 0.1, burstCount: 3 }, account: { perSecond: 0.1, burstCount: 4 } },
  })
  for (const name of ['alice', 'gone', 'locked', 'guessed', 'busy']) await rig.register(name)
})
afterAll(() => rig.stop())

const login = (user: string, password = 'secret') =>
  rig.accounts.passwordLogin.verify({ identifier: { type: 'm.id.user', user }, password })

describe('login by password', () => {
  test.each(['alice', '@alice:weft.test', 'ALICE', '@Alice:weft.test'])('finds the account of %s', async (user) => {
    expect(await login(user)).toBe('@alice:weft.test')
  })

  test('takes the deprecated user key', async () => {
    expect(await rig.accounts.passwordLogin.verify({ user: 'alice', password: 'secret' })).toBe('@alice:weft.test')
  })

  test('tells nobody whether an account exists: same answer, same work', async () => {
    const answers: unknown[] = []
    verified.length = 0
    for (const user of ['alice', 'nobody', '@alice:elsewhere.test', 'a\0b', '']) {
      await login(user, 'wrong').catch((error) => answers.push(error.toJSON()))
    }
    expect(verified).toHaveLength(5)
    expect(new Set(answers.map((one) => JSON.stringify(one)))).toEqual(
      new Set(['{"errcode":"M_FORBIDDEN","error":"Invalid username or password"}']),
    )
  })

  test('R23 a deactivated account has no way in', async () => {
    await rig.run(`UPDATE users SET deactivated = true WHERE name = '@gone:weft.test'`)
    await expect(login('gone')).rejects.toMatchObject({ errcode: 'M_USER_DEACTIVATED', status: 403 })
    await expect(login('gone', 'wrong')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    await rig.run(`UPDATE users SET password_hash = NULL WHERE name = '@gone:weft.test'`)
    await expect(login('gone')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })

  test('R23 a locked account is told so, after the password', async () => {
    await rig.run(`UPDATE users SET locked = true WHERE name = '@locked:weft.test'`)
    await expect(login('locked')).rejects.toMatchObject({ errcode: 'M_USER_LOCKED', status: 401, fields: { soft_logout: true } })
    await expect(login('locked', 'wrong')).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
  })

  test('limits guesses, parallel ones too, and the right one among them', async () => {
    const guesses = await Promise.allSettled(Array.from({ length: 6 }, () => login('guessed', 'wrong')))
    const codes = guesses.map((one) => (one.status === 'rejected' ? one.reason.errcode : 'in')).sort()
    expect(codes).toEqual(['M_FORBIDDEN', 'M_FORBIDDEN', 'M_FORBIDDEN', 'M_LIMIT_EXCEEDED', 'M_LIMIT_EXCEEDED', 'M_LIMIT_EXCEEDED'])
    await expect(login('guessed')).rejects.toMatchObject({ errcode: 'M_LIMIT_EXCEEDED', status: 429 })
    rig.clock.advance(60_000)
    expect(await login('guessed')).toBe('@guessed:weft.test')
  })

  test('does not count right passwords as guesses', async () => {
    for (let i = 0; i < 10; i++) expect(await login('busy')).toBe('@busy:weft.test')
  })

  test('limits logins to one account', async () => {
    for (let i = 0; i < 4; i++) await rig.accounts.passwordLogin.limitAccount('@busy:weft.test')
    await expect(rig.accounts.passwordLogin.limitAccount('@busy:weft.test')).rejects.toMatchObject({
      errcode: 'M_LIMIT_EXCEEDED',
      fields: { retry_after_ms: 10_000 },
      headers: { 'Retry-After': '10' },
    })
  })

  test.each([
    [{ password: 'secret' }, 'M_MISSING_PARAM'],
    [{ identifier: 'alice', password: 'secret' }, 'M_BAD_JSON'],
    [{ identifier: { type: 'm.id.user' }, password: 'secret' }, 'M_MISSING_PARAM'],
    [{ identifier: { type: 'm.id.user', user: 1 }, password: 'secret' }, 'M_BAD_JSON'],
    [{ identifier: { type: 'constructor', user: 'alice' }, password: 'secret' }, 'M_UNKNOWN'],
    [{ identifier: { type: 'm.id.user', user: 'alice' } }, 'M_MISSING_PARAM'],
    [{ identifier: { type: 'm.id.user', user: 'alice' }, password: {} }, 'M_BAD_JSON'],
    [{ identifier: { type: 'm.id.thirdparty', medium: 'email', address: 'a@b' }, password: 'secret' }, 'M_FORBIDDEN'],
    [{ medium: 'email', address: 'a@b', password: 'secret' }, 'M_FORBIDDEN'],
  ])('answers %j with %s', async (body, errcode) => {
    await expect(rig.accounts.passwordLogin.verify(body)).rejects.toMatchObject({ errcode })
  })
})

describe('passwords', () => {
  test('are one in all ways of composing their letters', async () => {
    await rig.accounts.registration.register({ username: 'umlaut', password: 'schön'.normalize('NFC'), device: device() })
    expect(await login('umlaut', 'schön'.normalize('NFD'))).toBe('@umlaut:weft.test')
  })

  test('are hashed by few at once, and beyond the queue refused with 503', async () => {
    const hasher = new PasswordHasher({ concurrency: 1, queueLimit: 2, memoryCost: 8, timeCost: 1 })
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => hasher.hash('x')))
    expect(results.map((one) => one.status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'])
    expect(results[4]).toMatchObject({ reason: { status: 503, headers: { 'Retry-After': '2' } } })
    await expect(hasher.verify(await hasher.hash('x'), 'x')).resolves.toBe(true)
  })

  test('longer than any that can be set are wrong', async () => {
    const hasher = new PasswordHasher({ memoryCost: 8, timeCost: 1 })
    const hash = await hasher.hash('')
    expect(await hasher.verify(hash, 'x'.repeat(513))).toBe(false)
    expect(await hasher.verify(undefined, '')).toBe(false)
  })
})
