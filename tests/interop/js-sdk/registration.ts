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

/** Registers as an application does: asks, learns the flows, goes through them in the session. */
async function registerInteractively(baseUrl: string, username: string): Promise<{ person: Person; stages: string[] }> {
  const { client } = new Person(baseUrl)
  const stages: string[] = []
  const auth: InteractiveAuth<RegisterResponse> = new InteractiveAuth<RegisterResponse>({
    matrixClient: client,
    doRequest: (dict: AuthDict | null) => client.registerRequest({ username, password: PASSWORD, auth: dict ?? undefined }),
    stateUpdated(stage) {
      stages.push(stage)
      if (stage === AuthType.Dummy) void auth.submitAuthDict({ type: AuthType.Dummy })
    },
    requestEmailToken: () => Promise.reject(new Error('no email was asked for')),
  })
  return { person: new Person(baseUrl, await auth.attemptAuth()), stages }
}

export function registration(cast: Cast): Part {
  return async (step) => {
    const { baseUrl } = cast
    await step('the server names versions and the password login', async () => {
      const { client } = new Person(baseUrl)
      assert((await client.getVersions()).versions.includes('v1.1'))
      assert((await client.loginFlows()).flows.some((flow) => flow.type === 'm.login.password'))
      assert.equal(await client.isUsernameAvailable('alice'), true)
    })
    cast.alice = await step('alice registers in one request', () => registerAtOnce(baseUrl, 'alice'))
    cast.bob = await step('bob registers through user-interactive authentication', async () => {
      const { person } = await registerInteractively(baseUrl, 'bob')
      return person
    })
    const { alice, bob } = cast
    await step('a name is given once', async () => {
      assert.equal(await new Person(baseUrl).client.isUsernameAvailable('alice'), false)
      await refused(registerAtOnce(baseUrl, 'alice'), 400, 'M_USER_IN_USE')
    })
    await step('each is who they are', async () => {
      assert.deepEqual(await alice.client.whoami(), { user_id: alice.id, device_id: alice.client.getDeviceId(), is_guest: false })
      assert.equal((await bob.client.whoami()).user_id, bob.id)
    })
    await step('both clients start and sync', async () => {
      await Promise.all([alice.start({ lazyLoadMembers: true }), bob.start()])
    })
    await step('push rules came before the first sync', () => {
      const override = alice.client.pushRules?.global.override ?? []
      assert.equal(override[0]?.rule_id, '.m.rule.master')
      const mention = override.find((rule) => rule.rule_id === '.m.rule.is_user_mention')
      assert.deepEqual(
        mention?.conditions?.map((condition) => 'value' in condition && condition.value),
        [alice.id],
      )
    })
    await step('capabilities name room versions', async () => {
      const versions = (await alice.client.getCapabilities())['m.room_versions']
      assert.equal(versions?.available[versions.default], 'stable')
    })
  }
}
