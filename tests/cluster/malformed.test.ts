import { expect, test } from '@jest/globals'
import { registry } from '@weft/api'
import type { AnyEndpoint } from '@weft/http'
import { faultOf, type MalformedRequest, malformedRequests, sendMalformed } from '@weft/http/malformed'
import type { TestClient, TestCluster } from '@weft/testkit'
import { clusterSuite } from './cluster.ts'

/** Requests in flight at a time. */
const AT_ONCE = 6
/** Endpoints that end the session of the token they are called with. */
const endSessions = new Set(['client.logout', 'client.logoutAll'])
/** Stands in paths where each request has a value of its own: a repeated txnId would be answered without a look at the body. */
const UNIQUE = 'a-new-value-each-time'

/** Bodies that are right, where the schema alone does not lead to one. */
const bodies: Readonly<Record<string, object>> = {
  'client.register': { username: 'malformed', password: 'a long password', auth: { type: 'm.login.dummy' } },
  'client.login': { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'nobody' }, password: 'wrong' },
  'client.sendToDevice': { messages: { '@nobody:weft.test': { '*': {} } } },
}

const suite = (layout: 'single' | 'split') =>
  clusterSuite(`malformed input, ${layout}`, { layout }, (cluster) => {
    let sent = 0

    test.each(registry.endpoints.map((endpoint) => [endpoint.id, endpoint] as const))('%s', async (_id, endpoint) => {
      const pids = cluster().processes.map((process) => process.pid)
      const errorsBefore = cluster().errors().length
      const faults = await faultsOf(cluster(), endpoint)
      expect(faults).toEqual([])
      expect(cluster().errors().slice(errorsBefore)).toEqual([])
      expect(cluster().processes.map((process) => process.pid)).toEqual(pids)
    })

    test('what was taken in harms no reader (R30)', async () => {
      const { client, room } = await setting(cluster(), 'strange')
      const odd: [string, string, object][] = [
        ['m.room.name', '', { name: 1 }],
        ['m.room.avatar', '', { url: {} }],
        ['m.room.topic', '', { topic: ['a'] }],
        ['m.room.canonical_alias', '', { alias: null }],
        ['m.room.history_visibility', '', { history_visibility: [] }],
        ['m.room.join_rules', '', { join_rule: {} }],
        ['m.room.encryption', '', { algorithm: 7 }],
        ['m.room.pinned_events', '', { pinned: 'x' }],
        ['__proto__', '__proto__', { __proto__: null, constructor: 'x' }],
        ['constructor', 'toString', { '\u0000': '\u0000' }],
      ]
      for (const [type, stateKey, content] of odd) {
        const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/state/${encodeURIComponent(type)}/${encodeURIComponent(stateKey)}`
        expect((await client.attempt('PUT', path, content)).status).toBeLessThan(500)
      }
      await client.put(`/profile/${encodeURIComponent(client.userId)}/displayname`, { displayname: 'a\u0001b' })
      await client.put(`/user/${encodeURIComponent(client.userId)}/account_data/m.direct`, { '@a:b': 'no list', __proto__: 1 })
      await client.put(`/user/${encodeURIComponent(client.userId)}/account_data/m.ignored_user_list`, { ignored_users: [1] })
      for (const filter of [{ room: { timeline: { limit: 5 } } }, { room: { state: { lazy_load_members: true } } }]) {
        expect(Object.keys((await client.sync({ filter })).rooms?.join ?? {})).toContain(room)
      }
      expect((await client.history(room)).length).toBeGreaterThan(0)
      for (const part of ['state', 'members', 'joined_members', 'aliases']) await client.get(`/rooms/${encodeURIComponent(room)}/${part}`)
    })

    test('there were thousands of requests', () => {
      expect(sent).toBeGreaterThan(5000)
    })

    async function faultsOf(server: TestCluster, endpoint: AnyEndpoint): Promise<string[]> {
      const { client, params } = await setting(server, endpoint.id)
      let token: Promise<string> = Promise.resolve(client.accessToken)
      const url = new URL(server.urls[0] as string)
      const target = { host: url.hostname, port: Number(url.port), accessToken: () => token }
      const faults: string[] = []
      const body = Object.hasOwn(bodies, endpoint.id) ? bodies[endpoint.id] : undefined
      const requests = malformedRequests(endpoint, { params, ...(body === undefined ? {} : { body }) })
      const alone = endSessions.has(endpoint.id)
      const work = async () => {
        for (const request of requests) {
          const mine = sent++
          const answer = await sendMalformed(target, unique(request, mine))
          const fault = faultOf(request, answer)
          if (fault !== undefined) faults.push(`${request.name}: ${fault}`)
          if (alone && answer.status === 200) token = server.login(client.userId).then((next) => next.accessToken)
        }
      }
      await Promise.all(Array.from({ length: alone ? 1 : AT_ONCE }, work))
      return faults
    }
  })
suite('single')
suite('split')

/** A user of the endpoint's own with a room, and path parameters that exist. */
async function setting(server: TestCluster, id: string): Promise<{ client: TestClient; room: string; params: Record<string, string> }> {
  const name = id.toLowerCase().replaceAll(/[^a-z0-9]/g, '-')
  const client = await server.register(name)
  const alias = `#${name}:${server.serverName}`
  const room = await client.createRoom({ room_alias_name: name, preset: 'public_chat' })
  const eventId = await client.message(room, 'something to point at')
  const filter = await client.post(`/user/${encodeURIComponent(client.userId)}/filter`, { room: { timeline: { limit: 1 } } })
  await client.put(`/user/${encodeURIComponent(client.userId)}/account_data/malformed`, {})
  const params = {
    roomId: room,
    roomIdOrAlias: room,
    roomAlias: alias,
    userId: client.userId,
    eventId,
    deviceId: client.deviceId,
    filterId: String(filter.filter_id),
    keyName: 'displayname',
    receiptType: 'm.read',
    eventType: 'm.room.message',
    txnId: UNIQUE,
  }
  return { client, room, params }
}

function unique(request: MalformedRequest, number: number): MalformedRequest {
  if ('bytes' in request.send) return request
  return { ...request, send: { ...request.send, path: request.send.path.replace(UNIQUE, `txn${number}`) } }
}
