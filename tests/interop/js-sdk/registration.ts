import assert from 'node:assert/strict'
import { type AuthDict, AuthType, InteractiveAuth, type RegisterResponse } from 'matrix-js-sdk'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import { PASSWORD, Person, refused } from './person.ts'

/** Registers at once, by the dummy stage without a session. */
export async function registerAtOnce(baseUrl: string, username: string): Promise<Person> {
  const response = await new Person(baseUrl).client.registerRequest({ username, password: PASSWORD, auth: { type: AuthType.Dummy } })
  return new Person(baseUrl, response)
}

/** Registers as an application does: asks, learns the flows, goes through one of them in the session. */
async function registerInteractively(
  baseUrl: string,
  username: string,
): Promise<{ person: Person; stages: readonly string[] | undefined }> {
  const { client } = new Person(baseUrl)
  const auth = new InteractiveAuth<RegisterResponse>({
    matrixClient: client,
    doRequest: (dict: AuthDict | null) => client.registerRequest({ username, password: PASSWORD, auth: dict ?? undefined }),
    // The library does the dummy stage by itself, and no other was to come.
    stateUpdated: (stage) => assert.fail(`a person is asked for ${stage}`),
    requestEmailToken: () => Promise.reject(new Error('no email was asked for')),
  })
  const session = await auth.attemptAuth()
  return { person: new Person(baseUrl, session), stages: auth.getChosenFlow()?.stages }
}

export function registration(): Part<Cast> {
  return {
    async 'the server names versions and the password login'({ baseUrl }) {
      const { client } = new Person(baseUrl)
      assert((await client.getVersions()).versions.includes('v1.1'))
      assert((await client.loginFlows()).flows.some((flow) => flow.type === 'm.login.password'))
      assert.equal(await client.isUsernameAvailable('alice'), true)
    },
    async 'alice registers in one request'(cast) {
      cast.alice = await registerAtOnce(cast.baseUrl, 'alice')
    },
    async 'bob registers through user-interactive authentication'(cast) {
      const { person, stages } = await registerInteractively(cast.baseUrl, 'bob')
      assert.deepEqual(stages, [AuthType.Dummy])
      cast.bob = person
    },
    async 'a name is given once'({ baseUrl }) {
      assert.equal(await new Person(baseUrl).client.isUsernameAvailable('alice'), false)
      await refused(registerAtOnce(baseUrl, 'alice'), 400, 'M_USER_IN_USE')
    },
    async 'each is who they are'({ alice, bob }) {
      assert.deepEqual(await alice.client.whoami(), { user_id: alice.id, device_id: alice.client.getDeviceId(), is_guest: false })
      assert.equal((await bob.client.whoami()).user_id, bob.id)
    },
    async 'both clients start and sync'({ alice, bob }) {
      await Promise.all([alice.start({ lazyLoadMembers: true }), bob.start()])
    },
    'push rules came before the first sync'({ alice }) {
      const override = alice.client.pushRules?.global.override ?? []
      assert.equal(override[0]?.rule_id, '.m.rule.master')
      const mention = override.find((rule) => rule.rule_id === '.m.rule.is_user_mention')
      assert.deepEqual(
        mention?.conditions?.map((condition) => 'value' in condition && condition.value),
        [alice.id],
      )
    },
    async 'capabilities name room versions'({ alice }) {
      const versions = (await alice.client.getCapabilities())['m.room_versions']
      assert.equal(versions?.available[versions.default], 'stable')
    },
  }
}
