import { expect, test } from '@jest/globals'
import { configFrom } from '@weft/kernel'
import { accountSettings } from '../src/index.ts'
import { checkPassword } from '../src/password-policy.ts'

test('settings come from homeserver.yaml', () => {
  const base = { server_name: 'weft.test', internal_secret: 'x'.repeat(32) }
  expect(accountSettings(configFrom(base))).toEqual({
    settings: { serverName: 'weft.test', enabled: false, requiresToken: false, passwordPolicy: undefined },
    sharedSecret: undefined,
    loginLimits: { account: { perSecond: 0.003, burstCount: 5 }, failedAttempts: { perSecond: 0.17, burstCount: 3 } },
    uiaLifetimeMs: 3_600_000,
  })
  const policy = { enabled: true, minimum_length: 10 }
  const more = {
    enable_registration: true,
    registration_requires_token: true,
    registration_shared_secret: 'shh',
    password_config: { policy },
  }
  const found = accountSettings(configFrom({ ...base, ...more, rc_login: { account: false, failed_attempts: false } }))
  expect(found).toMatchObject({
    settings: { enabled: true, requiresToken: true, passwordPolicy: { minimum_length: 10 } },
    sharedSecret: 'shh',
  })
  expect(found.loginLimits).toEqual({ account: undefined, failedAttempts: undefined })
})

test.each([
  ['Aa1!aaaa', undefined],
  ['Aa1!', 'at least 8'],
  ['Aa!aaaaa', 'digit'],
  ['Aa1aaaaa', 'symbol'],
  ['AA1!AAAA', 'lower-case'],
  ['aa1!aaaa', 'upper-case'],
  ['Ää１!aaaa', undefined],
])('the policy says of %s: %s', (password, complaint) => {
  const policy = { minimum_length: 8, require_digit: true, require_symbol: true, require_lowercase: true, require_uppercase: true }
  if (complaint === undefined) expect(() => checkPassword(password, policy)).not.toThrow()
  else expect(() => checkPassword(password, policy)).toThrow(complaint)
})
