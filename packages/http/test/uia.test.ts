import { beforeEach, describe, expect, test } from '@jest/globals'
import { type JsonObject, type JsonValue, MatrixError, own } from '@weft/matrix'
import {
  dummyStage,
  passwordStage,
  ReplyError,
  registrationTokenStage,
  type StageVerifier,
  type UiaRequest,
  type UiaSession,
  type UiaStore,
  UserInteractiveAuth,
  withoutAuth,
} from '../src/index.ts'

/** The store's contract over a map, with the session kept as text the way a column keeps it. */
class MemoryStore implements UiaStore {
  readonly rows = new Map<string, string>()
  writes = 0

  async create(session: UiaSession): Promise<void> {
    this.#put(session)
  }

  async get(id: string): Promise<UiaSession | undefined> {
    const row = this.rows.get(id)
    if (row === undefined) return undefined
    const parsed = JSON.parse(row) as UiaSession & { requestHash: string }
    return { ...parsed, requestHash: Buffer.from(parsed.requestHash, 'base64') }
  }

  async complete(id: string, stage: string, result: JsonValue): Promise<UiaSession | undefined> {
    const session = await this.get(id)
    if (session === undefined) return undefined
    const updated = { ...session, completed: { ...session.completed, [stage]: result } }
    this.#put(updated)
    return updated
  }

  async delete(id: string): Promise<boolean> {
    return this.rows.delete(id)
  }

  #put(session: UiaSession): void {
    this.writes++
    this.rows.set(session.id, JSON.stringify({ ...session, requestHash: Buffer.from(session.requestHash).toString('base64') }))
  }
}

const passwords = new Map([
  ['alice', 'alices password'],
  ['bob', 'bobs password'],
])
const password = passwordStage({
  async verify(auth) {
    const user = String(own(auth, 'user'))
    if (passwords.get(user) !== own(auth, 'password')) throw new MatrixError('M_FORBIDDEN', 'Invalid username or password')
    return `@${user}:hs`
  },
})
const token = registrationTokenStage({ isTokenValid: async (text) => text === 'invited' })
const terms: StageVerifier = { type: 'm.login.terms', params: { policies: {} }, verify: async () => ({ ok: true, result: true }) }

let store: MemoryStore
let uia: UserInteractiveAuth
beforeEach(() => {
  store = new MemoryStore()
  uia = new UserInteractiveAuth(store, [dummyStage, password, token, terms], 'secret')
})

const removal: UiaRequest = {
  operation: 'client.deleteDevice',
  requester: { userId: '@alice:hs' },
  auth: undefined,
  boundTo: { devices: ['A'] },
  flows: [['m.login.password']],
}
const registration: UiaRequest = { operation: 'client.register', auth: undefined, boundTo: {}, flows: [['m.login.dummy']] }
const twoStages: UiaRequest = {
  ...registration,
  flows: [
    ['m.login.terms', 'm.login.registration_token'],
    ['m.login.terms', 'm.login.dummy'],
  ],
}

function run(request: UiaRequest, auth?: JsonValue): Promise<JsonObject> {
  return uia.run({ ...request, auth })
}

async function challenge(request: UiaRequest, auth?: JsonValue): Promise<JsonObject & { session: string }> {
  const error = await run(request, auth).then(
    (completed) => {
      throw new Error(`went on with ${JSON.stringify(completed)}`)
    },
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ReplyError)) throw error
  expect(error.reply.status).toBe(401)
  return error.reply.body as JsonObject & { session: string }
}

const alices = { type: 'm.login.password', user: 'alice', password: 'alices password' }

describe('UserInteractiveAuth', () => {
  test('challenges, then goes on with a completed flow', async () => {
    const first = await challenge(removal)
    expect(first).toEqual({ session: first.session, flows: [{ stages: ['m.login.password'] }], params: {}, completed: [] })
    const wrong = await challenge(removal, { ...alices, password: 'guess', session: first.session })
    expect(wrong).toMatchObject({ session: first.session, errcode: 'M_FORBIDDEN', error: 'Invalid username or password' })
    expect(await run(removal, { ...alices, session: first.session })).toEqual({ 'm.login.password': '@alice:hs' })
  })

  test('one request is enough when it brings all that a flow needs, and leaves nothing behind', async () => {
    expect(await run(registration, { type: 'm.login.dummy' })).toEqual({ 'm.login.dummy': true })
    expect(await run(removal, { ...alices, session: null })).toEqual({ 'm.login.password': '@alice:hs' })
    expect(store.writes).toBe(0)
  })

  test('never goes on without auth, even where the dummy stage is the only one', async () => {
    const { session } = await challenge(registration)
    const empty: (JsonValue | undefined)[] = [undefined, null, {}, { session }, { session: 'unknown' }]
    for (const auth of empty) await challenge(registration, auth)
    expect(await run(registration, { type: 'm.login.dummy', session })).toEqual({ 'm.login.dummy': true })
  })

  test('stages of a flow in order, with params, and the client may choose among the flows that are left', async () => {
    const first = await challenge(twoStages)
    expect(first.params).toEqual({ 'm.login.terms': { policies: {} } })
    const { session } = first
    expect((await challenge(twoStages, { type: 'm.login.terms', session })).completed).toEqual(['m.login.terms'])
    const bad = await challenge(twoStages, { type: 'm.login.registration_token', token: 'guess', session })
    expect(bad).toMatchObject({ completed: ['m.login.terms'], errcode: 'M_UNAUTHORIZED' })
    const done = await run(twoStages, { type: 'm.login.registration_token', token: 'invited', session })
    expect(done).toEqual({ 'm.login.terms': true, 'm.login.registration_token': 'invited' })
  })

  test('a stage may also be completed elsewhere: the client asks again with the session alone', async () => {
    const { session } = await challenge(twoStages)
    await store.complete(session, 'm.login.terms', true)
    expect((await challenge(twoStages, { session })).completed).toEqual(['m.login.terms'])
    await store.complete(session, 'm.login.dummy', true)
    expect(await run(twoStages, { session })).toEqual({ 'm.login.terms': true, 'm.login.dummy': true })
  })

  test('R24 no stage is skipped, repeated or taken from another flow', async () => {
    const { session } = await challenge(twoStages)
    const early = await challenge(twoStages, { type: 'm.login.dummy', session })
    expect(early).toMatchObject({ completed: [], errcode: 'M_FORBIDDEN', session })
    expect(await challenge(twoStages, { type: 'm.login.dummy' })).toMatchObject({ completed: [], errcode: 'M_FORBIDDEN' })
    await challenge(twoStages, { type: 'm.login.terms', session })
    const again = await challenge(twoStages, { type: 'm.login.terms', session })
    expect([again.completed, again.errcode]).toEqual([['m.login.terms'], undefined])
    expect(await challenge(twoStages, { ...alices, session })).toMatchObject({ errcode: 'M_UNRECOGNIZED' })
    for (const type of ['constructor', '__proto__', 'toString', '', 'm.login.sso']) {
      expect(await challenge(twoStages, { type, session })).toMatchObject({ errcode: 'M_UNRECOGNIZED', completed: ['m.login.terms'] })
    }
  })

  test('R24 a session is bound to one operation, one user and what was asked for', async () => {
    const { session } = await challenge(removal)
    const others: UiaRequest[] = [
      { ...removal, operation: 'client.deactivateAccount' },
      { ...removal, requester: { userId: '@bob:hs' } },
      { ...removal, requester: undefined },
      { ...removal, boundTo: { devices: ['B'] } },
      { ...removal, boundTo: {} },
    ]
    for (const other of others) {
      await expect(run(other, { ...alices, session })).rejects.toMatchObject({ errcode: 'M_FORBIDDEN', status: 403 })
    }
    expect(await run({ ...removal, boundTo: { devices: ['A'] } }, { ...alices, session })).toEqual({ 'm.login.password': '@alice:hs' })
  })

  test('R24 a session is used up by its operation, by one of two requests at most', async () => {
    const { session } = await challenge(twoStages)
    await challenge(twoStages, { type: 'm.login.terms', session })
    const last = { type: 'm.login.dummy', session }
    const outcomes = await Promise.allSettled([run(twoStages, last), run(twoStages, last)])
    expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected'])
    const after = await challenge(twoStages, last)
    expect(after.session).not.toBe(session)
    expect(after.completed).toEqual([])
  })

  test("R24 another account's password proves nothing", async () => {
    const { session } = await challenge(removal)
    const bobs = { type: 'm.login.password', user: 'bob', password: 'bobs password' }
    expect(await challenge(removal, { ...bobs, session })).toMatchObject({ completed: [], errcode: 'M_FORBIDDEN' })
  })

  test('R24 no password is stored, neither the one that was entered nor a new one that was asked for', async () => {
    const change: UiaRequest = { ...removal, operation: 'client.changePassword', boundTo: { new_password: 'hunter2' } }
    const { session } = await challenge(change, { ...alices, password: 'wrong guess' })
    const rows = JSON.stringify([...store.rows])
    expect(rows).not.toMatch(/wrong guess|hunter2|alices/)
    const [one] = store.rows.values()
    const other = new UserInteractiveAuth(store, [password], 'another secret')
    await expect(other.run({ ...change, auth: { session } })).rejects.toMatchObject({ errcode: 'M_FORBIDDEN' })
    expect(one).toBeDefined()
  })

  test('errors of verifiers that are no failed attempt pass through', async () => {
    const limited = new UserInteractiveAuth(
      store,
      [
        passwordStage({
          verify: async () => {
            throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many')
          },
        }),
      ],
      'secret',
    )
    await expect(limited.run({ ...removal, auth: alices })).rejects.toMatchObject({ errcode: 'M_LIMIT_EXCEEDED' })
    await expect(
      run({ ...registration, flows: [['m.login.registration_token']] }, { type: 'm.login.registration_token' }),
    ).rejects.toMatchObject({
      errcode: 'M_MISSING_PARAM',
    })
  })

  test('malformed auth is 400; ids that cannot be are unknown sessions', async () => {
    const malformed: JsonValue[] = ['x', 5, [], true, { type: 5 }, { type: 'm.login.dummy', session: 5 }, { session: {} }]
    for (const auth of malformed) {
      await expect(run(registration, auth)).rejects.toMatchObject({ errcode: 'M_BAD_JSON', status: 400 })
    }
    for (const session of ['', 'a\0', 'x'.repeat(5000), '../x', '__proto__']) {
      expect((await challenge(twoStages, { type: 'm.login.dummy', session })).session).not.toBe(session)
    }
  })

  test('withoutAuth drops auth alone and keeps own keys own', () => {
    const body = JSON.parse('{"auth":{},"a":1,"__proto__":{"b":2}}') as JsonObject
    expect(JSON.stringify(withoutAuth(body))).toBe('{"a":1,"__proto__":{"b":2}}')
  })

  test('R31 there is no fallback for a missing secret', () => {
    expect(() => new UserInteractiveAuth(store, [], '')).toThrow('needs a secret')
  })
})
