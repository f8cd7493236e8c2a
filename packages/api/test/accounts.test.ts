import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sharedSecretMac } from '@weft/accounts'
import { ApiRig } from './accounts-rig.ts'

let rig: ApiRig
let alice: { userId: string; token: string }
beforeAll(async () => {
  rig = await ApiRig.start({}, { public_baseurl: 'https://weft.test/', admin_contact: 'mailto:admin@weft.test' })
  alice = await rig.register('alice')
})
afterAll(() => rig.stop())

describe('what the server says about itself', () => {
  test('versions, with the features that answer', async () => {
    const { status, json } = await rig.send('GET', '/_matrix/client/versions')
    expect(status).toBe(200)
    expect(json).toEqual({ versions: ['v1.1'], unstable_features: { 'org.matrix.msc2285.stable': true, 'uk.tcpip.msc4133.stable': true } })
  })

  test('well-known documents, as configured', async () => {
    expect((await rig.send('GET', '/.well-known/matrix/client')).json).toEqual({ 'm.homeserver': { base_url: 'https://weft.test/' } })
    expect((await rig.send('GET', '/.well-known/matrix/support')).json).toEqual({
      contacts: [{ email_address: 'admin@weft.test', role: 'm.role.admin' }],
    })
  })

  test('capabilities', async () => {
    const { json } = await rig.send('GET', '/capabilities', { token: alice.token })
    expect(json.capabilities['m.room_versions']).toMatchObject({ default: '12', available: { 10: 'stable', 11: 'stable', 12: 'stable' } })
    expect(json.capabilities['m.change_password']).toEqual({ enabled: false })
    expect((await rig.send('GET', '/capabilities')).json.errcode).toBe('M_MISSING_TOKEN')
  })
})

describe('registration', () => {
  test('goes through the dummy stage with a session, or at once without', async () => {
    const body = { username: 'bob', password: 'secret', initial_device_display_name: 'Phone' }
    const challenge = await rig.send('POST', '/register', { body })
    expect(challenge).toMatchObject({
      status: 401,
      json: { flows: [{ stages: ['m.login.dummy'] }], params: {}, session: expect.any(String) },
    })
    const auth = { type: 'm.login.dummy', session: challenge.json.session }
    const done = await rig.send('POST', '/register', { body: { ...body, auth } })
    expect(done).toMatchObject({
      status: 200,
      json: { user_id: '@bob:weft.test', home_server: 'weft.test', access_token: expect.stringMatching(/^wft_Ym9i_/) },
    })
    expect(done.json.refresh_token).toBeUndefined()
    expect((await rig.send('GET', '/devices', { token: done.json.access_token })).json.devices).toMatchObject([{ display_name: 'Phone' }])
  })

  test('R24 a session is used up by the account it made, and no stage of another flow counts', async () => {
    const { json } = await rig.send('POST', '/register', { body: {} })
    const auth = { type: 'm.login.dummy', session: json.session }
    expect((await rig.send('POST', '/register', { body: { username: 'once', password: 'secret', auth } })).status).toBe(200)
    expect(await rig.accounts.run('SELECT session_id FROM ui_auth_sessions WHERE session_id = $1', [json.session])).toEqual([])
    const reused = await rig.send('POST', '/register', { body: { username: 'twice', password: 'secret', auth: { session: json.session } } })
    expect(reused.status).toBe(401)
    const other = await rig.send('POST', '/register', {
      body: { username: 'odd', password: 'secret', auth: { type: 'm.login.registration_token', token: 'x' } },
    })
    expect(other).toMatchObject({ status: 401, json: { errcode: 'M_UNRECOGNIZED' } })
  })

  test('R24 no password reaches the table of sessions', async () => {
    await rig.send('POST', '/register', { body: { username: 'leaky', password: 'hunter2-hunter2' } })
    await rig.send('POST', '/delete_devices', {
      token: alice.token,
      body: {
        devices: ['X'],
        auth: { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'alice' }, password: 'hunter2-hunter2' },
      },
    })
    const rows = await rig.accounts.run('SELECT * FROM ui_auth_sessions')
    expect(rows.length).toBeGreaterThan(1)
    expect(JSON.stringify(rows)).not.toContain('hunter2')
  })

  test('says what is wrong before it asks for anything', async () => {
    const errcode = async (body: object, query = '') => (await rig.send('POST', `/register${query}`, { body })).json.errcode
    expect(await errcode({ username: 'alice', password: 'x' })).toBe('M_USER_IN_USE')
    expect(await errcode({ username: 'ü', password: 'x' })).toBe('M_INVALID_USERNAME')
    expect(await errcode({ username: 7 })).toBe('M_BAD_JSON')
    expect(await errcode({ username: 'a\0' })).toBe('M_BAD_JSON')
    expect(await errcode({ username: 'fine', password: '' })).toBe('M_WEAK_PASSWORD')
    expect(await errcode({ username: 'fine', inhibit_login: 'yes' })).toBe('M_BAD_JSON')
    expect(await errcode({ username: 'fine', auth: { type: 'm.login.dummy' } })).toBe('M_MISSING_PARAM')
    expect(await errcode({ type: 'm.login.application_service' })).toBe('M_APPSERVICE_LOGIN_UNSUPPORTED')
    expect(await errcode({}, '?kind=guest')).toBe('M_GUEST_ACCESS_FORBIDDEN')
    expect(await errcode({}, '?kind=robot')).toBe('M_INVALID_PARAM')
  })

  test('without login gives no session', async () => {
    const body = { username: 'later', password: 'secret', inhibit_login: true, auth: { type: 'm.login.dummy' } }
    expect((await rig.send('POST', '/register', { body })).json).toEqual({ user_id: '@later:weft.test', home_server: 'weft.test' })
  })

  test('tells which names are free', async () => {
    expect((await rig.send('GET', '/register/available?username=free')).json).toEqual({ available: true })
    expect(await rig.send('GET', '/register/available?username=alice')).toMatchObject({ status: 400, json: { errcode: 'M_USER_IN_USE' } })
    for (let i = 0; i < 20; i++) await rig.send('GET', `/register/available?username=u${i}`)
    expect(await rig.send('GET', '/register/available?username=free')).toMatchObject({ status: 429, json: { errcode: 'M_LIMIT_EXCEEDED' } })
    expect(await rig.send('GET', '/register/available')).toMatchObject({ status: 400, json: { errcode: 'M_MISSING_PARAM' } })
  })

  test('by shared secret, as Synapse’s tools do it', async () => {
    const path = '/_synapse/admin/v1/register'
    const { nonce } = (await rig.send('GET', path)).json
    const request = { nonce, username: 'root', password: 'secret', admin: true }
    const body = { ...request, mac: sharedSecretMac('shared secret', request), displayname: 'Root' }
    const done = await rig.send('POST', path, { body })
    expect(done).toMatchObject({
      status: 200,
      json: { user_id: '@root:weft.test', access_token: expect.any(String), device_id: expect.any(String) },
    })
    expect(await rig.accounts.authenticator.authenticate(done.json.access_token)).toMatchObject({ isAdmin: true })
    expect((await rig.send('GET', '/profile/@root:weft.test')).json).toEqual({ displayname: 'Root' })
    expect(await rig.send('POST', path, { body })).toMatchObject({ status: 400 })
  })
})

describe('login', () => {
  const login = (body: object) => rig.send('POST', '/login', { body: { type: 'm.login.password', ...body } })
  const identifier = { type: 'm.id.user', user: 'alice' }

  test('names its flows', async () => {
    expect((await rig.send('GET', '/login')).json).toEqual({ flows: [{ type: 'm.login.password' }] })
  })

  test('gives a session on the device that the client chose', async () => {
    const { json } = await login({ identifier, password: 'secret', device_id: 'CHOSEN', initial_device_display_name: 'Tablet' })
    expect(json).toMatchObject({
      user_id: alice.userId,
      device_id: 'CHOSEN',
      home_server: 'weft.test',
      well_known: { 'm.homeserver': { base_url: 'https://weft.test/' } },
    })
    expect((await rig.send('GET', '/account/whoami', { token: json.access_token })).json).toEqual({
      user_id: alice.userId,
      device_id: 'CHOSEN',
      is_guest: false,
    })
    expect((await rig.send('POST', '/logout', { token: json.access_token })).json).toEqual({})
    expect(await rig.send('GET', '/account/whoami', { token: json.access_token })).toMatchObject({
      status: 401,
      json: { errcode: 'M_UNKNOWN_TOKEN' },
    })
  })

  test.each([
    [{ identifier, password: 'wrong' }, 403, 'M_FORBIDDEN'],
    [{ identifier: { type: 'm.id.user', user: 'nobody' }, password: 'secret' }, 403, 'M_FORBIDDEN'],
    [{ type: 'm.login.token', token: 'x' }, 400, 'M_UNKNOWN'],
    [{ type: 'm.login.application_service' }, 400, 'M_APPSERVICE_LOGIN_UNSUPPORTED'],
    [{ type: 1 }, 400, 'M_BAD_JSON'],
    [{ type: undefined }, 400, 'M_MISSING_PARAM'],
    [{ identifier, password: 'secret', device_id: 'x'.repeat(300) }, 400, 'M_INVALID_PARAM'],
    [{ identifier, password: 'secret', device_id: 5 }, 400, 'M_BAD_JSON'],
    [{ identifier, password: 'secret', initial_device_display_name: 'x'.repeat(600) }, 400, 'M_INVALID_PARAM'],
  ])('answers %j with %i %s', async (body, status, errcode) => {
    expect(await login(body)).toMatchObject({ status, json: { errcode } })
  })

  test('of a locked account, which may log out and nothing else', async () => {
    const { token, userId } = await rig.register('locked')
    await rig.accounts.run('UPDATE users SET locked = true WHERE name = $1', [userId])
    rig.accounts.authenticator.forget(userId)
    expect(await rig.send('GET', '/devices', { token })).toMatchObject({
      status: 401,
      json: { errcode: 'M_USER_LOCKED', soft_logout: true },
    })
    expect((await rig.send('POST', '/logout', { token })).status).toBe(200)
  })
})

describe('devices', () => {
  const password = (user: string, secret = 'secret') => ({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user },
    password: secret,
  })

  test('are listed, named and got', async () => {
    const { token } = alice
    expect(await rig.send('PUT', '/devices/DEVICE', { token, body: { display_name: 'Laptop' } })).toMatchObject({ status: 200, json: {} })
    expect((await rig.send('PUT', '/devices/DEVICE', { token, body: {} })).status).toBe(200)
    expect((await rig.send('GET', '/devices/DEVICE', { token })).json).toMatchObject({ device_id: 'DEVICE', display_name: 'Laptop' })
    for (const [method, body] of [['GET'], ['PUT', { display_name: 'x' }], ['PUT', {}]] as const) {
      expect(await rig.send(method, '/devices/NOT', { token, body })).toMatchObject({ status: 404, json: { errcode: 'M_NOT_FOUND' } })
    }
    expect(await rig.send('PUT', '/devices/DEVICE', { token, body: { display_name: 'x'.repeat(513) } })).toMatchObject({ status: 400 })
  })

  test('R24 are deleted with the password of their owner, for exactly these', async () => {
    const bob = await rig.register('deviceowner', 'D1')
    const { token } = bob
    await rig.send('POST', '/login', { body: { ...password('deviceowner'), device_id: 'D2' } })
    const challenge = await rig.send('DELETE', '/devices/D2', { token })
    expect(challenge).toMatchObject({ status: 401, json: { flows: [{ stages: ['m.login.password'] }] } })
    const { session } = challenge.json
    const stolen = await rig.send('DELETE', '/devices/D1', { token, body: { auth: { ...password('deviceowner'), session } } })
    expect(stolen).toMatchObject({ status: 403, json: { errcode: 'M_FORBIDDEN' } })
    const elsewhere = await rig.send('POST', '/delete_devices', {
      token,
      body: { devices: ['D2'], auth: { ...password('deviceowner'), session } },
    })
    expect(elsewhere).toMatchObject({ status: 403 })
    const foreign = await rig.send('DELETE', '/devices/D2', { token, body: { auth: { ...password('alice'), session } } })
    expect(foreign).toMatchObject({ status: 401, json: { errcode: 'M_FORBIDDEN', session } })
    const dummy = await rig.send('DELETE', '/devices/D2', { token, body: { auth: { type: 'm.login.dummy', session } } })
    expect(dummy).toMatchObject({ status: 401 })
    expect(await rig.accounts.reads.devices.list(bob.userId)).toHaveLength(2)
    const done = await rig.send('DELETE', '/devices/D2', { token, body: { auth: { ...password('deviceowner'), session } } })
    expect(done).toMatchObject({ status: 200, json: {} })
    const again = await rig.send('DELETE', '/devices/D2', { token, body: { auth: { ...password('deviceowner'), session } } })
    expect(again.status).toBe(200)
    expect(await rig.accounts.reads.devices.list(bob.userId)).toMatchObject([{ device_id: 'D1' }])
    const all = await rig.send('POST', '/delete_devices', { token, body: { devices: ['D1', 'NOT'], auth: password('deviceowner') } })
    expect(all.status).toBe(200)
    expect((await rig.send('GET', '/devices', { token })).status).toBe(401)
  })

  test('the list to delete must be one', async () => {
    for (const body of [{}, { devices: 'DEVICE' }, { devices: [1] }, { devices: ['X'], auth: [] }, { devices: ['X'], auth: 'x' }]) {
      expect((await rig.send('POST', '/delete_devices', { token: alice.token, body })).status).toBe(400)
    }
  })

  test('logout of all ends them all', async () => {
    const { token } = await rig.register('leaver')
    expect((await rig.send('POST', '/logout/all', { token })).json).toEqual({})
    expect((await rig.send('GET', '/devices', { token })).json.errcode).toBe('M_UNKNOWN_TOKEN')
  })
})

test('R34 neither tokens nor passwords reach the log', async () => {
  const { token } = await rig.register('quiet')
  await rig.send('GET', `/account/whoami?access_token=${token}`)
  await rig.send('GET', `/user/${token}/account_data/${token}`, { token })
  const written = JSON.stringify(rig.server.lines)
  expect(written).toContain('client.getTokenOwner')
  expect(written).not.toContain(token)
  expect(written).not.toContain('secret')
})
