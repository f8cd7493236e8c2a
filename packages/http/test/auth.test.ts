import { describe, expect, test } from '@jest/globals'
import { accessTokenOf } from '../src/index.ts'
import { echo, startServer } from './harness.ts'

const PATH = '/_matrix/client/v3/echo'

describe('access tokens', () => {
  test('come as Bearer, in any case, or as the deprecated query parameter', () => {
    expect(accessTokenOf('Bearer abc', '')).toBe('abc')
    expect(accessTokenOf('bEARER  abc ', 'access_token=other')).toBe('abc')
    expect(accessTokenOf(undefined, 'a=b&access_token=a%2Bc')).toBe('a+c')
    expect(accessTokenOf('Basic abc', 'access_token=abc')).toBe('abc')
    for (const header of [undefined, '', 'Bearer', 'Bearer ', 'Basic abc', 'Bearerabc', 'Bearer:abc'])
      expect(accessTokenOf(header, 'access_token=')).toBeUndefined()
  })

  test('missing, unknown and locked ones get the errors of the specification', async () => {
    await using server = await startServer([
      echo({ auth: 'accessToken' }),
      echo({ id: 'logout', path: '/logout', auth: 'accessToken', lockedAllowed: true }),
      echo({ id: 'optional', path: '/optional', auth: 'optionalAccessToken' }),
    ])
    const missing = await server.send('GET', PATH)
    expect([missing.status, missing.json.errcode]).toEqual([401, 'M_MISSING_TOKEN'])
    const unknown = await server.send('GET', PATH, { token: 'nobody' })
    expect([unknown.status, unknown.json.errcode, unknown.json.soft_logout]).toEqual([401, 'M_UNKNOWN_TOKEN', false])
    const locked = await server.send('GET', PATH, { token: 'wft_locked_1' })
    expect([locked.status, locked.json.errcode, locked.json.soft_logout]).toEqual([401, 'M_USER_LOCKED', true])
    expect((await server.send('GET', '/logout', { token: 'wft_locked_1' })).status).toBe(200)
    expect((await server.send('GET', '/optional')).json.requester).toBeUndefined()
    expect((await server.send('GET', '/optional', { token: 'nobody' })).status).toBe(401)
    expect((await server.send('GET', `${PATH}?access_token=wft_alice_1`)).status).toBe(200)
  })

  test('that no server ever issued are not looked up', async () => {
    await using server = await startServer([echo({ auth: 'accessToken' })])
    for (const token of ['a%00b', 'x'.repeat(2000)]) {
      const answer = await server.send('GET', `${PATH}?access_token=${token}`)
      expect([answer.status, answer.json.errcode]).toEqual([401, 'M_UNKNOWN_TOKEN'])
    }
    expect(server.tokens.asked).toEqual([])
  })
})
