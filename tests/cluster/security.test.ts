import { connect } from 'node:net'
import { expect, test } from '@jest/globals'
import { type Answer, directSender, type Follower, PASSWORD, type TestClient } from '@weft/testkit'
import { clusterSuite } from './cluster.ts'
import { sendSlowly } from './slow-client.ts'

const v3 = '/_matrix/client/v3'
const enc = encodeURIComponent
const never = { per_second: 0.0001, burst_count: 3 }
const slowAtOnce = 20
const LIMIT_MS = 180_000
/** More than a byte each few ms gets rid of before anybody's patience ends. */
const LONG = 'a'.repeat(20_000)

clusterSuite(
  'security over all processes',
  {
    layout: 'split',
    sync: 2,
    writers: 2,
    routers: 2,
    impatient: true,
    settings: { rc_room_creation: never, rc_registration_token_validity: never, log: { level: 'debug', format: 'json' } },
  },
  (cluster) => {
    /** The same request by each router in turn. */
    const doors = () => cluster().urls.map((url) => directSender(url))

    test(
      'a limit is one for all routers, and for the writer that comes after a killed one (R33)',
      async () => {
        const alice = await cluster().register('limited')
        const [first, second] = doors().map((door) => alice.through(door)) as [TestClient, TestClient]
        const make = (client: TestClient) => client.attempt('POST', `${v3}/createRoom`, {})
        for (const client of [first, second, first]) expect((await make(client)).status).toBe(200)
        const refused = { status: 429, body: { errcode: 'M_LIMIT_EXCEEDED' } }
        for (const client of [first, second]) expect(await make(client)).toMatchObject(refused)
        const writer = cluster().writer()
        await writer.kill()
        let later: Answer
        do later = await make(second)
        while (later.status === 503)
        expect(later).toMatchObject(refused)
        expect(cluster().writer()).not.toBe(writer)
        await writer.start()
        expect((await make(await cluster().register('unlimited'))).status).toBe(200)
      },
      LIMIT_MS,
    )

    test('what a client says in internal and forwarding headers is not heard, whatever secret it knows (R41)', async () => {
      const validity = '/_matrix/client/v1/register/m.login.registration_token/validity?token=none'
      const spoofed = (address: string) =>
        `X-Forwarded-For: ${address}\r\nForwarded: for=${address}\r\nX-Real-IP: ${address}\r\nX-Weft-Internal-Secret: ${cluster().secret}\r\n`
      const ask = async (url: string, headers: string, from: string) => {
        const { hostname, port } = new URL(url)
        const text = `GET ${validity} HTTP/1.1\r\nHost: a\r\n${headers}Connection: close\r\n\r\n`
        return Number((await raw(hostname, Number(port), text, from)).slice(9, 12))
      }
      // Counted by the address of the connection, which has three, and not by what it says, nor by the router's.
      const answers: number[] = []
      for (let i = 0; i < 4; i++) answers.push(await ask(cluster().urls[i % 2] as string, spoofed(`203.0.113.${i}`), '127.0.0.2'))
      expect(answers).toEqual([200, 200, 200, 429])
      for (const url of cluster().urls) expect(await ask(url, '', '127.0.0.1')).toBe(200)

      // A long poll that claims to come from a router that drains waits all the same.
      const alice = await cluster().register('waiting')
      const room = await alice.createRoom()
      const { next_batch: since } = await alice.sync()
      const hurried = alice.send('GET', `${v3}/sync?timeout=30000&since=${since}`, undefined, {
        token: alice.accessToken,
        headers: { 'x-weft-no-wait': '1' },
      })
      for (let i = 0; i < 10; i++) await alice.get('/account/whoami')
      await alice.message(room, 'news')
      expect((await hurried).body).toHaveProperty(['rooms', 'join', room])
    })

    test('what is internal cannot be reached through a router, and does not come out of it (R41)', async () => {
      for (const url of cluster().urls) {
        const { hostname, port } = new URL(url)
        const health = new URL(await (cluster().of('writer')[0] as { healthUrl(): Promise<string> }).healthUrl())
        for (const target of [
          '/metrics',
          '/health',
          '/ready',
          '//metrics',
          '/_matrix/../metrics',
          '/%2e%2e/metrics',
          `${health.origin}/metrics`,
        ]) {
          const answer = await raw(hostname, Number(port), `GET ${target} HTTP/1.1\r\nHost: ${health.host}\r\nConnection: close\r\n\r\n`)
          expect([target, answer.slice(0, 12)]).toEqual([target, 'HTTP/1.1 404'])
        }
        for (const path of ['/_matrix/client/versions', `${v3}/sync`, `${v3}/login`]) {
          const { headers } = await fetch(url + path)
          expect([...headers.keys()].filter((name) => name.startsWith('x-weft-') || name.startsWith('x-forwarded'))).toEqual([])
        }
      }
    })

    test(
      'clients that send a byte at a time lose their connections, and others are served meanwhile (R32)',
      async () => {
        const url = cluster().urls[0] as string
        const head = `POST ${v3}/createRoom HTTP/1.1\r\nHost: a\r\n`
        const [inHead, inBody] = [`${head}X-Slow: `, `${head}Content-Length: ${LONG.length + 2}\r\n\r\n"`]
        let slow = 2 * slowAtOnce
        const outcomes = Array.from({ length: slow }, (_, i) => {
          const begun = i % 2 === 0 ? inHead : inBody
          const whole = i % 2 === 0 ? `${inHead}${LONG}\r\n\r\n` : `${inBody}${LONG}"`
          return sendSlowly(url, whole, begun.length).finally(() => slow--)
        })
        const alice = (await cluster().register('patient')).through(directSender(url))
        const room = await alice.createRoom()
        let served = 0
        for (; slow > 0; served++) await alice.message(room, 'in between')
        expect(served).toBeGreaterThan(0)
        // The answer may be lost with the connection that was closed while a byte was on its way.
        for (const { answer, sent } of await Promise.all(outcomes)) {
          expect(answer).toMatch(/^(HTTP\/1\.1 408 |$)/)
          expect(sent).toBeLessThan(LONG.length)
        }
      },
      LIMIT_MS,
    )

    test('no log line and no metric of any process holds a token, a password or what somebody wrote (R34)', async () => {
      const said = [
        'text of a message',
        'text of a name',
        'text for a device',
        'text of account data',
        'text of a reason',
        'text cut short',
      ]
      const alice = await cluster().register('secretive')
      const room = await alice.createRoom({ name: said[1] })
      const eventId = await alice.message(room, said[0] as string)
      await alice.redact(room, eventId, said[4])
      await alice.put(`/sendToDevice/org.weft.test/1`, { messages: { [alice.userId]: { '*': { body: said[2] } } } })
      await alice.put(`/user/${enc(alice.userId)}/account_data/org.weft.test`, { body: said[3] })
      await alice.sync()
      const wrong = 'a password that is wrong'
      const identifier = { type: 'm.id.user', user: 'secretive' }
      await alice.attempt('POST', `${v3}/login`, { type: 'm.login.password', identifier, password: wrong })
      const strange = `wft_c2VjcmV0aXZl_${'x'.repeat(32)}`
      for (const token of [alice.accessToken, strange]) {
        await cluster().call('GET', `${v3}/account/whoami?access_token=${token}`)
        await cluster().call('GET', `${v3}/sync?timeout=0`, undefined, { authorization: `Bearer ${token}` })
        await cluster().call('GET', `/_matrix/client/v3/nothing/here?access_token=${token}`, undefined, { 'user-agent': token })
      }
      await alice.attempt('PUT', `${v3}/rooms/${enc(room)}/send/m.room.message/cut`, `{"body":"${said[5]}`)
      await alice.attempt('POST', `${v3}/login`, `{"password":"${wrong}`)
      await cluster().settle()

      const secrets = [alice.accessToken, strange, PASSWORD, wrong, cluster().secret, cluster().sharedSecret, ...said]
      for (const process of cluster().processes) {
        const log = process.lines.map((line) => JSON.stringify(line)).join('\n') + process.tail()
        const metrics = await (await fetch(`${await process.healthUrl()}/metrics`)).text()
        expect([process.name, secrets.filter((secret) => log.includes(secret) || metrics.includes(secret))]).toEqual([process.name, []])
        expect(metrics).toContain('weft_')
      }
      const logs = cluster().processes.flatMap((process) => process.lines.map((line) => JSON.stringify(line)))
      expect(logs.some((line) => line.includes('client.sendMessage'))).toBe(true)
    })

    test(
      'Redis is away for longer than it keeps anything: nothing is lost, nothing comes twice (R42)',
      async () => {
        const alice = await cluster().register('steadfast')
        const room = await alice.createRoom({ preset: 'public_chat' })
        const others = await Promise.all(['reader-a', 'reader-b', 'reader-c', 'reader-d'].map((name) => cluster().register(name)))
        for (const other of others) await other.join(room)
        const followers = await Promise.all(others.map((other) => cluster().follow(other)))
        const sent: string[] = []
        const say = async (count: number) => {
          for (let i = 0; i < count; i++) sent.push(await alice.message(room, `message ${sent.length}`))
          const messages = Object.fromEntries(others.map(({ userId }) => [userId, { '*': { n: sent.length } }]))
          await alice.put(`/sendToDevice/org.weft.test/${sent.length}`, { messages })
          for (const other of others) await other.put(`/user/${enc(other.userId)}/account_data/org.weft.test`, { n: sent.length })
        }
        const seenBy = (follower: Follower) => follower.room(room).events.filter(({ type }) => type === 'm.room.message')
        const caughtUp = (follower: Follower) =>
          follower.waitFor(`message ${sent.length}`, () => {
            const { n } = (follower.accountData.get('org.weft.test') ?? {}) as { n?: number }
            return (
              follower.room(room).has(sent.at(-1) as string) && n === sent.length && follower.toDevice.at(-1)?.content.n === sent.length
            )
          })

        await say(5)
        const redis = cluster().redis
        if (redis === undefined) throw new Error('split has a Redis')
        await redis.kill()
        // While it is away everything comes, a little later.
        await say(30)
        await Promise.all(followers.map(caughtUp))
        // What is said last before it is back was never in it.
        await say(30)
        await redis.restart()
        await say(5)
        await Promise.all(followers.map(caughtUp))
        for (const follower of followers) {
          expect(seenBy(follower).map((event) => event.event_id)).toEqual(sent)
          expect(follower.room(room).repeated).toEqual([])
          expect(follower.toDevice.map(({ content }) => content.n)).toEqual([5, 35, 65, 70])
        }
      },
      LIMIT_MS,
    )
  },
)

/** One request as these bytes; resolves to all of the answer. */
function raw(host: string, port: number, text: string, localAddress = host): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, localAddress }, () => socket.write(text))
    let answer = ''
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part
    })
    socket.on('error', reject).on('close', () => resolve(answer))
  })
}
