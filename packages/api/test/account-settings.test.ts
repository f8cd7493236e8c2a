import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { predefinedPushRules } from '@weft/matrix'
import { device } from '../../accounts/test/rig.ts'
import { ApiRig } from './accounts-rig.ts'

let rig: ApiRig
let alice: { userId: string; token: string }
let bob: { userId: string; token: string }
let room: string
beforeAll(async () => {
  rig = await ApiRig.start(
    { settings: { serverName: 'weft.test', enabled: true, requiresToken: false } },
    { limits: { registrationTokenValidity: { perSecond: 0.1, burstCount: 2 } } },
  )
  alice = await rig.register('alice')
  bob = await rig.register('bob')
  room = encodeURIComponent((await rig.accounts.room(1, [alice.userId])).roomId)
})
afterAll(() => rig.stop())

const user = (path: string) => `/user/${encodeURIComponent(alice.userId)}${path}`

test('without configuration there are no well-known documents', async () => {
  for (const name of ['client', 'support']) {
    expect(await rig.send('GET', `/.well-known/matrix/${name}`)).toMatchObject({ status: 404, json: { errcode: 'M_NOT_FOUND' } })
  }
})

test('push rules are the predefined ones, with the requester in them', async () => {
  for (const version of ['v3', 'r0']) {
    const { status, json } = await rig.send('GET', `/_matrix/client/${version}/pushrules/`, { token: bob.token })
    expect(status).toBe(200)
    expect(json).toEqual({ global: predefinedPushRules(bob.userId) })
  }
  expect(await rig.send('GET', '/pushrules/')).toMatchObject({ status: 401, json: { errcode: 'M_MISSING_TOKEN' } })
})

describe('account data', () => {
  test('is set and got, globally and by room', async () => {
    const { token } = alice
    for (const path of ['/account_data/org.example.x', `/rooms/${room}/account_data/org.example.x`]) {
      expect(await rig.send('GET', user(path), { token })).toMatchObject({ status: 404, json: { errcode: 'M_NOT_FOUND' } })
      expect(await rig.send('PUT', user(path), { token, body: `{"path":"${path}","n":1.0,"__proto__":{"x":1}}` })).toMatchObject({
        status: 200,
        json: {},
      })
      expect((await rig.send('GET', user(path), { token })).text).toBe(`{"path":"${path}","n":1.0,"__proto__":{"x":1}}`)
    }
  })

  test('is the requester’s own', async () => {
    for (const path of ['/account_data/x', `/rooms/${room}/account_data/x`, `/rooms/${room}/tags`, '/filter/0']) {
      expect(await rig.send('GET', user(path), { token: bob.token })).toMatchObject({ status: 403, json: { errcode: 'M_FORBIDDEN' } })
    }
    for (const path of ['/account_data/x', `/rooms/${room}/account_data/x`, `/rooms/${room}/tags/x`]) {
      expect(await rig.send('PUT', user(path), { token: bob.token, body: {} })).toMatchObject({
        status: 403,
        json: { errcode: 'M_FORBIDDEN' },
      })
    }
    expect((await rig.send('POST', user('/filter'), { token: bob.token, body: {} })).status).toBe(403)
    expect((await rig.send('DELETE', user(`/rooms/${room}/tags/x`), { token: bob.token })).status).toBe(403)
  })

  test('that the server manages is not set', async () => {
    for (const type of ['m.fully_read', 'm.push_rules', 'm%2efully_read']) {
      for (const path of [`/account_data/${type}`, `/rooms/${room}/account_data/${type}`]) {
        expect(await rig.send('PUT', user(path), { token: alice.token, body: {} })).toMatchObject({
          status: 405,
          json: { errcode: 'M_BAD_JSON' },
        })
      }
    }
  })

  test('that the server manages is read as any other', async () => {
    const { token } = alice
    const { status, json } = await rig.send('GET', user('/account_data/m.push_rules'), { token })
    expect(status).toBe(200)
    expect(json).toEqual((await rig.send('GET', '/pushrules/', { token })).json)
  })

  test('R43 has types and contents named like what every object inherits', async () => {
    const { token } = alice
    for (const type of ['__proto__', 'constructor', 'toString']) {
      expect((await rig.send('GET', user(`/account_data/${type}`), { token })).status).toBe(404)
      expect((await rig.send('PUT', user(`/account_data/${type}`), { token, body: { type } })).status).toBe(200)
      expect((await rig.send('GET', user(`/account_data/${type}`), { token })).json).toEqual({ type })
    }
  })

  test('needs a room id and a room', async () => {
    const { token } = alice
    for (const [method, body] of [['GET'], ['PUT', {}]] as const) {
      expect(await rig.send(method, user('/rooms/nonsense/account_data/x'), { token, body })).toMatchObject({
        status: 400,
        json: { errcode: 'M_INVALID_PARAM' },
      })
      expect((await rig.send(method, user('/rooms/!no:weft.test/account_data/x'), { token, body })).status).toBe(404)
    }
  })

  test.each(['[]', '"x"', '', '{', '{"a":"\\ud800"}', `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`])(
    'must be an object: %s',
    async (body) => {
      const answer = await rig.send('PUT', user('/account_data/bad'), { token: alice.token, body })
      expect(answer.status).toBe(400)
      expect(['M_BAD_JSON', 'M_NOT_JSON']).toContain(answer.json.errcode)
    },
  )
})

describe('tags', () => {
  test('come and go', async () => {
    const { token } = alice
    const path = user(`/rooms/${room}/tags`)
    expect((await rig.send('GET', path, { token })).json).toEqual({ tags: {} })
    expect((await rig.send('PUT', `${path}/u.Work%2Fplay`, { token, body: { order: 0.5 } })).json).toEqual({})
    expect((await rig.send('PUT', `${path}/m.favourite`, { token, body: {} })).status).toBe(200)
    expect((await rig.send('PUT', `${path}/m.bad`, { token, body: { order: 'first' } })).json.errcode).toBe('M_BAD_JSON')
    expect((await rig.send('GET', path, { token })).json).toEqual({ tags: { 'u.Work/play': { order: 0.5 }, 'm.favourite': {} } })
    expect((await rig.send('DELETE', `${path}/m.favourite`, { token })).json).toEqual({})
    expect((await rig.send('DELETE', `${path}/m.favourite`, { token })).status).toBe(200)
    expect((await rig.send('GET', path, { token })).json).toEqual({ tags: { 'u.Work/play': { order: 0.5 } } })
  })
})

describe('filters', () => {
  test('are made and got', async () => {
    const { token } = alice
    const filter = { room: { timeline: { limit: 5 } }, event_fields: ['content.body'] }
    const { filter_id } = (await rig.send('POST', user('/filter'), { token, body: filter })).json
    expect((await rig.send('GET', user(`/filter/${filter_id}`), { token })).json).toEqual(filter)
    expect((await rig.send('POST', user('/filter'), { token, body: { room: 7 } })).json.errcode).toBe('M_BAD_JSON')
    expect((await rig.send('GET', user('/filter/77'), { token })).json.errcode).toBe('M_NOT_FOUND')
  })
})

describe('profiles', () => {
  test('are set by their owner and read by all', async () => {
    const path = `/profile/${encodeURIComponent(alice.userId)}`
    const { token } = alice
    expect((await rig.send('GET', path)).json.errcode).toBe('M_NOT_FOUND')
    expect((await rig.send('PUT', `${path}/displayname`, { token, body: { displayname: 'Alice' } })).json).toEqual({})
    expect((await rig.send('PUT', `${path}/org.example.x`, { token, body: '{"org.example.x":{"__proto__":1.0}}' })).status).toBe(200)
    expect((await rig.send('GET', path)).text).toBe('{"displayname":"Alice","org.example.x":{"__proto__":1.0}}')
    expect((await rig.send('GET', `${path}/displayname`)).json).toEqual({ displayname: 'Alice' })
    for (const [method, body] of [['PUT', { displayname: 'Eve' }], ['DELETE']] as const) {
      expect(await rig.send(method, `${path}/displayname`, { token: bob.token, body })).toMatchObject({
        status: 403,
        json: { errcode: 'M_FORBIDDEN' },
      })
    }
    expect((await rig.send('DELETE', `${path}/displayname`, { token })).json).toEqual({})
    expect((await rig.send('GET', `${path}/displayname`)).status).toBe(404)
    expect((await rig.send('PUT', `${path}/x${'y'.repeat(255)}`, { token, body: {} })).json.errcode).toBe('M_KEY_TOO_LARGE')
    expect((await rig.send('GET', `${path}/__proto__`)).json.errcode).toBe('M_INVALID_PARAM')
  })

  test('stay as they are while their owner is suspended', async () => {
    const { token, userId } = await rig.register('suspended')
    await rig.accounts.run('UPDATE users SET suspended = true WHERE name = $1', [userId])
    rig.accounts.authenticator.forget(userId)
    for (const [method, body] of [['PUT', { displayname: 'x' }], ['DELETE']] as const) {
      expect(await rig.send(method, `/profile/${userId}/displayname`, { token, body })).toMatchObject({
        status: 403,
        json: { errcode: 'M_USER_SUSPENDED' },
      })
    }
  })
})

describe('what is no event', () => {
  test('to-device messages go out once for a txnId', async () => {
    const body = { messages: { [bob.userId]: { DEVICE: { n: 1 }, '*': { n: 2 } } } }
    for (let i = 0; i < 3; i++) expect((await rig.send('PUT', '/sendToDevice/m.test/t1', { token: alice.token, body })).json).toEqual({})
    expect(await rig.accounts.run('SELECT message_json FROM device_inbox WHERE user_id = $1', [bob.userId])).toEqual([
      { message_json: '{"content":{"n":1},"sender":"@alice:weft.test","type":"m.test"}' },
    ])
    expect((await rig.send('PUT', '/sendToDevice/m.test/t2', { token: alice.token, body: {} })).json.errcode).toBe('M_MISSING_PARAM')
    expect((await rig.send('PUT', '/sendToDevice/m.test/t2', { token: alice.token, body: { messages: [] } })).json.errcode).toBe(
      'M_BAD_JSON',
    )
  })

  test('typing is for members, about themselves', async () => {
    const path = (userId: string) => `/rooms/${room}/typing/${encodeURIComponent(userId)}`
    expect((await rig.send('PUT', path(alice.userId), { token: alice.token, body: { typing: true, timeout: 1000 } })).json).toEqual({})
    expect(rig.accounts.rows('typing').at(-1)).toMatchObject({ userIds: [alice.userId] })
    expect((await rig.send('PUT', path(alice.userId), { token: alice.token, body: { typing: false } })).status).toBe(200)
    expect(rig.accounts.rows('typing').at(-1)).toMatchObject({ userIds: [] })
    expect((await rig.send('PUT', path(bob.userId), { token: bob.token, body: { typing: true } })).json.errcode).toBe('M_FORBIDDEN')
    expect((await rig.send('PUT', path(bob.userId), { token: alice.token, body: { typing: true } })).json.errcode).toBe('M_FORBIDDEN')
    for (const body of [{}, { typing: 1 }, { typing: true, timeout: -1 }, { typing: true, timeout: 'x' }, { typing: true, timeout: 1.5 }]) {
      expect((await rig.send('PUT', path(alice.userId), { token: alice.token, body })).status).toBe(400)
    }
  })

  test('receipts and read markers', async () => {
    const { token } = alice
    const [one, two] = [await rig.accounts.event(1, 1), await rig.accounts.event(1, 2)]
    const receipt = (type: string, eventId: string) => `/rooms/${room}/receipt/${type}/${encodeURIComponent(eventId)}`
    expect((await rig.send('POST', receipt('m.read', one), { token, body: {} })).json).toEqual({})
    expect((await rig.send('POST', receipt('m.read', one), { token })).status).toBe(200)
    expect((await rig.send('POST', receipt('m.read.private', one), { token, body: { thread_id: 'main' } })).status).toBe(200)
    expect((await rig.send('POST', receipt('m.read', one), { token, body: { thread_id: '' } })).json.errcode).toBe('M_INVALID_PARAM')
    expect((await rig.send('POST', receipt('m.nope', one), { token, body: {} })).json.errcode).toBe('M_INVALID_PARAM')
    expect((await rig.send('POST', receipt('m.read', '$x'), { token, body: {} })).status).toBe(404)
    expect((await rig.send('POST', receipt('m.read', one), { token: bob.token, body: {} })).json.errcode).toBe('M_FORBIDDEN')
    const markers = { 'm.fully_read': two, 'm.read': two, 'm.read.private': two }
    expect((await rig.send('POST', `/rooms/${room}/read_markers`, { token, body: markers })).json).toEqual({})
    expect((await rig.send('GET', user(`/rooms/${room}/account_data/m.fully_read`), { token })).json).toEqual({ event_id: two })
    expect(rig.accounts.rows('receipts').map((row) => [row.receiptType, row.eventId])).toEqual([
      ['m.read', one],
      ['m.read.private', one],
      ['m.read', two],
      ['m.read.private', two],
    ])
    expect((await rig.send('POST', `/rooms/${room}/read_markers`, { token, body: {} })).status).toBe(200)
    expect((await rig.send('POST', `/rooms/${room}/read_markers`, { token, body: { 'm.read': 1 } })).status).toBe(400)
  })
})

describe('closed or half-open registration', () => {
  test('is refused everywhere while it is closed, but for the shared secret', async () => {
    const closed = await ApiRig.start({
      settings: { serverName: 'weft.test', enabled: false, requiresToken: false },
      sharedSecret: undefined,
    })
    try {
      const token = '/_matrix/client/v1/register/m.login.registration_token/validity?token=x'
      for (const [method, path] of [
        ['POST', '/register'],
        ['GET', '/register/available?username=x'],
        ['GET', token],
      ] as const) {
        const answer = await closed.send(method, path, method === 'POST' ? { body: {} } : {})
        expect(answer).toMatchObject({ status: 403, json: { errcode: 'M_FORBIDDEN' } })
      }
      expect(await closed.send('GET', '/_synapse/admin/v1/register')).toMatchObject({ status: 400, json: { errcode: 'M_UNKNOWN' } })
    } finally {
      await closed.stop()
    }
  })

  test('asks for a token, which is used up', async () => {
    const half = await ApiRig.start(
      { settings: { serverName: 'weft.test', enabled: true, requiresToken: true } },
      { limits: { registrationTokenValidity: { perSecond: 0.1, burstCount: 3 } } },
    )
    try {
      const admin = await half.accounts.accounts.registration.register({
        username: 'root',
        password: 'secret',
        admin: true,
        device: device(),
      })
      const user = await half.accounts.accounts.registration.register({ username: 'user', password: 'secret', device: device() })
      const create = (session: { accessToken: string } | undefined, body: object) =>
        half.send('POST', '/_synapse/admin/v1/registration_tokens/new', { token: session!.accessToken, body })
      expect((await create(admin.session, { token: 't0ken', uses_allowed: 1 })).json).toEqual({
        token: 't0ken',
        uses_allowed: 1,
        pending: 0,
        completed: 0,
        expiry_time: null,
      })
      expect((await create(admin.session, { length: 64, expiry_time: half.accounts.clock.now() + 1 })).json.token).toHaveLength(64)
      expect(await create(user.session, {})).toMatchObject({ status: 403, json: { errcode: 'M_FORBIDDEN' } })
      for (const body of [{ token: 't0ken' }, { token: 'a b' }, { token: '' }, { length: 65 }, { uses_allowed: -1 }, { expiry_time: 1 }]) {
        expect(await create(admin.session, body)).toMatchObject({ status: 400, json: { errcode: 'M_INVALID_PARAM' } })
      }
      const valid = (token: string) => half.send('GET', `/_matrix/client/v1/register/m.login.registration_token/validity?token=${token}`)
      expect((await valid('t0ken')).json).toEqual({ valid: true })
      expect((await valid('other')).json).toEqual({ valid: false })
      const register = (username: string, auth?: object) => half.send('POST', '/register', { body: { username, password: 'secret', auth } })
      const challenge = await register('carol')
      expect(challenge.json.flows).toEqual([{ stages: ['m.login.registration_token'] }])
      const { session } = challenge.json
      expect(await register('carol', { type: 'm.login.registration_token', token: 'other', session })).toMatchObject({
        status: 401,
        json: { errcode: 'M_UNAUTHORIZED', session },
      })
      expect((await register('carol', { type: 'm.login.dummy', session })).status).toBe(401)
      expect((await register('carol', { type: 'm.login.registration_token', token: 't0ken', session })).status).toBe(200)
      expect((await register('dave', { type: 'm.login.registration_token', token: 't0ken' })).status).toBe(401)
      expect((await valid('t0ken')).json).toEqual({ valid: false })
      expect(await valid('t0ken')).toMatchObject({ status: 429, json: { errcode: 'M_LIMIT_EXCEEDED' } })
    } finally {
      await half.stop()
    }
  })
})
