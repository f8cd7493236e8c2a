import { beforeAll, describe, expect, test } from '@jest/globals'
import { eventIdOf, hasRightContentHash, joinPdu, type RoomVersion, roomVersions } from '@weft/matrix'
import { sql } from '@weft/storage'
import type { Answer, Json, TestClient } from '@weft/testkit'
import { type ClusterOptions, clusterSuite } from './cluster.ts'

const enc = encodeURIComponent
const v3 = '/_matrix/client/v3'

/** What JSON strings may hold, and text in a database, a hash or a log may not like. */
const strings: readonly (readonly [string, string])[] = [
  ['NUL', 'a\u0000b'],
  ['the escape of our own columns', 'a\u0001\u00010000b'],
  ['control characters', '\u0007\u001b[2J\u007f\u0085'],
  ['a decomposed letter', 'e\u0301'],
  ['a composed letter', '\u00e9'],
  ['a ligature that normalisation takes apart', '\ufb01\u212b\u1e9b\u0323'],
  ['characters outside the first plane', '\u{1f9f6}\u{10ffff}'],
  ['noncharacters and a byte order mark', '\uffff\ufffe\ufeff'],
  ['line separators and quotes', '\u2028\u2029"\\\'</script>'],
  ['right-to-left overrides', '\u202e\u2066evil'],
  ['a name of every object', '__proto__'],
  ['another', 'constructor'],
]

/** Beside fields that become columns, where NUL is refused in the whole body. */
const refusesNul = new Set(['the first state of a room', 'the creation of a room'])

/** Bodies that are no JSON, or stand for no text. */
const noJson: readonly (readonly [string, Buffer])[] = [
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
  ['a surrogate in UTF-8', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d])],
  ['an overlong NUL', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xc0, 0x80, 0x22, 0x7d])],
  ['a byte order mark', Buffer.from('\ufeff{"a":1}')],
  ['UTF-16', Buffer.from('{"a":1}', 'utf16le')],
  ['a lone surrogate in a value', Buffer.from('{"a":"\\ud800"}')],
  ['a lone surrogate in a key', Buffer.from('{"\\udfff":1}')],
  ['surrogates in the wrong order', Buffer.from('{"a":["\\udc00\\ud800"]}')],
  ['a bare NUL', Buffer.from('{"a":"\u0000"}')],
]

hostileContent('single', { layout: 'single' })
hostileContent('split', { layout: 'split', sync: 2 })

function hostileContent(name: string, options: ClusterOptions): void {
  clusterSuite(`hostile content, ${name}`, options, (cluster) => {
    let alice: TestClient
    let room: string
    let user: string
    let at: string
    /** Messages to the device that were posted since it read them. */
    let unread = 0

    beforeAll(async () => {
      alice = await cluster().register('alice')
      room = await alice.createRoom()
      user = enc(alice.userId)
      at = `/rooms/${enc(room)}`
    })

    /** With the bytes of a body as they are. */
    async function raw(method: string, path: string, body: Buffer | string): Promise<Answer> {
      const response = await fetch(`${cluster().urls[0]}${v3}${path}`, {
        method,
        headers: { authorization: `Bearer ${alice.accessToken}`, 'content-type': 'application/json' },
        body: body as string,
      })
      return { status: response.status, body: (await response.json()) as Json, retryAfterMs: undefined }
    }

    /** Everywhere a client's JSON is kept: writes an object there, and reads it back. */
    const keepers: readonly (readonly [string, (text: string | Buffer) => Promise<Answer>, () => Promise<Json>])[] = [
      ['an event', (text) => raw('PUT', `${at}/send/org.weft.hostile/${alice.newTxnId()}`, text), () => newest()],
      ['a state event', (text) => raw('PUT', `${at}/state/org.weft.hostile/`, text), () => alice.state(room, 'org.weft.hostile')],
      [
        'account data',
        (text) => raw('PUT', `/user/${user}/account_data/org.weft.hostile`, text),
        () => alice.get(`/user/${user}/account_data/org.weft.hostile`),
      ],
      [
        'account data of a room',
        (text) => raw('PUT', `/user/${user}${at}/account_data/org.weft.hostile`, text),
        () => alice.get(`/user/${user}${at}/account_data/org.weft.hostile`),
      ],
      [
        'the first state of a room',
        (text) => raw('POST', '/createRoom', around('{"initial_state":[{"type":"org.weft.hostile","state_key":"","content":', text, '}]}')),
        async () => alice.state(await newestRoom(), 'org.weft.hostile'),
      ],
      [
        'the creation of a room',
        (text) => raw('POST', '/createRoom', around('{"creation_content":{"org.weft.hostile":', text, '}}')),
        async () => (await alice.state(await newestRoom(), 'm.room.create'))['org.weft.hostile'] as Json,
      ],
      [
        'a message to a device',
        async (text) => {
          const answer = await raw(
            'PUT',
            `/sendToDevice/org.weft.hostile/${alice.newTxnId()}`,
            around(`{"messages":{"${alice.userId}":{"${alice.deviceId}":`, text, '}}}'),
          )
          if (answer.status === 200) unread++
          return answer
        },
        async () => {
          let answer = await alice.sync()
          const events = [...(answer.to_device?.events ?? [])]
          // A process that is behind by more than the writer waits for shows the last of them a little later.
          while (events.length < unread) {
            answer = await alice.sync({ since: answer.next_batch, timeoutMs: 20_000 })
            events.push(...(answer.to_device?.events ?? []))
          }
          unread = 0
          await alice.sync({ since: answer.next_batch })
          return events.at(-1)?.content as Json
        },
      ],
      [
        'a field of a profile',
        (text) => raw('PUT', `/profile/${user}/org.weft.hostile`, around('{"org.weft.hostile":', text, '}')),
        async () => (await alice.get(`/profile/${user}/org.weft.hostile`))['org.weft.hostile'] as Json,
      ],
    ]

    async function newest(): Promise<Json> {
      return (await alice.messages(room, { dir: 'b', limit: '1' })).chunk[0]?.content as Json
    }

    async function newestRoom(): Promise<string> {
      const [row] = await cluster().database.db.query(
        sql<{ room_id: string }>('test.newestRoom', 'SELECT room_id FROM rooms ORDER BY room_nid DESC LIMIT 1'),
      )
      return row?.room_id as string
    }

    describe.each(keepers)('%s', (name, write, read) => {
      test('keeps each string and key as it came (R03)', async () => {
        const content = Object.fromEntries(
          strings
            .filter(([what]) => what !== 'NUL' || !refusesNul.has(name))
            .flatMap(([what, text]) => [[what, text] as const, [`${text}key`, { [text]: [text] }] as const]),
        )
        expect((await write(JSON.stringify(content))).status).toBe(200)
        expect(JSON.stringify(sorted(await read()))).toBe(JSON.stringify(sorted(content)))
      })

      test('refuses what is no JSON or no text (R03)', async () => {
        const before = JSON.stringify({ before: 1 })
        expect((await write(before)).status).toBe(200)
        for (const [what, bytes] of noJson) {
          const answer = await write(bytes)
          expect({ what, ...answer }).toMatchObject({ what, status: 400, body: { errcode: expect.stringMatching(/^M_(NOT|BAD)_JSON$/) } })
        }
      })

      test('counts the last of duplicate keys (R03)', async () => {
        expect((await write('{"a":1,"b":{"c":1,"c":2},"a":3}')).status).toBe(200)
        expect(sorted(await read())).toEqual({ a: 3, b: { c: 2 } })
      })

      test('keeps __proto__ and its like, at any depth (R43, R45)', async () => {
        const text =
          '{"__proto__":{"admin":true},"constructor":{"prototype":{"__proto__":[1]}},"hasOwnProperty":null,"toString":"x","valueOf":{}}'
        expect((await write(text)).status).toBe(200)
        expect(JSON.stringify(sorted(await read()))).toBe(JSON.stringify(sorted(JSON.parse(text))))
      })
    })

    test('no string changes the hash of its event (R03)', async () => {
      const version = roomVersions.get('12') as RoomVersion
      for (const [, text] of strings) {
        const id = await alice.message(room, { [text]: text })
        const [row] = await cluster().database.db.query(
          sql<{ json: string; envelope: string }>('test.event', 'SELECT json, envelope FROM events WHERE event_id = $1'),
          [id],
        )
        const pdu = joinPdu(row?.json ?? '', row?.envelope ?? '', room, version)
        expect(hasRightContentHash(pdu)).toBe(true)
        expect(eventIdOf(pdu, version)).toBe(id)
      }
    })

    test('every string that becomes a column is kept as it came, or refused with 400 (R03)', async () => {
      const phone = await cluster().login('alice', { deviceId: 'PHONE' })
      const places: readonly (readonly [string, (text: string) => Promise<Answer>, ((text: string) => Promise<unknown>) | undefined])[] = [
        ['event type', (text) => put(`${at}/send/${enc(text)}/${alice.newTxnId()}`), async () => (await newestEvent()).type],
        ['transaction id', (text) => put(`${at}/send/m.room.message/${enc(text)}`), undefined],
        ['state type', (text) => put(`${at}/state/${enc(text)}/x`, { text }), async (text) => (await alice.state(room, text, 'x')).text],
        [
          'state key',
          (text) => put(`${at}/state/org.weft.key/${enc(text)}`, { text }),
          async (text) => (await alice.state(room, 'org.weft.key', text)).text,
        ],
        [
          'account data type',
          (text) => put(`/user/${user}/account_data/${enc(text)}`, { text }),
          async (text) => (await alice.get(`/user/${user}/account_data/${enc(text)}`)).text,
        ],
        [
          'tag',
          (text) => put(`/user/${user}${at}/tags/${enc(text)}`),
          async (text) => Object.keys((await alice.get<{ tags: Json }>(`/user/${user}${at}/tags`)).tags).find((tag) => tag === text),
        ],
        [
          'display name',
          (text) => put(`/profile/${user}/displayname`, { displayname: text }),
          async () => (await alice.get(`/profile/${user}/displayname`)).displayname,
        ],
        ['profile field', (text) => put(`/profile/${user}/${enc(text)}`, JSON.parse(`{${JSON.stringify(text)}:1}`)), undefined],
        [
          'device name',
          (text) => put('/devices/PHONE', { display_name: text }),
          async () => (await alice.get('/devices/PHONE')).display_name,
        ],
        [
          'reason',
          (text) => alice.attempt('POST', `${v3}${at}/invite`, { user_id: `@guest:${cluster().serverName}`, reason: text }),
          undefined,
        ],
        [
          'room name',
          (text) => alice.attempt('POST', `${v3}/createRoom`, { name: text, topic: text }),
          async () => (await alice.state(await newestRoom(), 'm.room.name')).name,
        ],
        ['alias', (text) => alice.attempt('POST', `${v3}/createRoom`, { room_alias_name: text }), undefined],
        [
          'thread of a receipt',
          async (text) => alice.attempt('POST', `${v3}${at}/receipt/m.read/${enc((await newestEvent()).event_id)}`, { thread_id: text }),
          undefined,
        ],
        [
          'filter',
          (text) => alice.attempt('POST', `${v3}/user/${user}/filter`, { room: { timeline: { types: [text], senders: [text] } } }),
          undefined,
        ],
        [
          'device of a message',
          (text) =>
            put(`/sendToDevice/${enc(text)}/${alice.newTxnId()}`, {
              messages: JSON.parse(`{${JSON.stringify(text)}:{${JSON.stringify(text)}:{}}}`),
            }),
          undefined,
        ],
        [
          'login',
          (text) =>
            alice.attempt('POST', `${v3}/login`, {
              type: 'm.login.password',
              identifier: { type: 'm.id.user', user: text },
              password: text,
            }),
          undefined,
        ],
        [
          'device id',
          (text) =>
            alice.attempt('POST', `${v3}/login`, {
              type: 'm.login.password',
              identifier: { type: 'm.id.user', user: 'bob' },
              password: 'a password of tests',
              device_id: text,
              initial_device_display_name: text,
            }),
          undefined,
        ],
        [
          'user name',
          (text) => alice.attempt('POST', `${v3}/register`, { username: text, password: text, auth: { type: 'm.login.dummy' } }),
          undefined,
        ],
      ]
      await cluster().register('bob')
      for (const [place, write, read] of places) {
        for (const [what, text] of strings) {
          const { status, body } = await write(text)
          expect({ place, what, body, well: status === 200 || (status >= 400 && status < 404) }).toMatchObject({ place, what, well: true })
          if (status === 200 && read !== undefined) expect({ place, what, read: await read(text) }).toEqual({ place, what, read: text })
        }
      }
      await phone.post('/logout')
    })

    test('types and keys that hold any separator are not mixed up (R44)', async () => {
      const pairs = [
        ['a', 'b\u0001c'],
        ['a\u0001b', 'c'],
        ['a', '\u0001b\u0001c'],
        ['a\u0001', 'b\u0001c'],
        ['a|b', 'c'],
        ['a', 'b|c'],
        ['a/b', 'c'],
        ['a', 'b/c'],
        ['a","b', 'c'],
        ['a', 'b","c'],
        ['1:a', 'b'],
        ['1', ':ab'],
      ] as const
      for (const [index, [type, key]] of pairs.entries()) await alice.setState(room, type, key, { index })
      await cluster().settle()
      for (const [index, [type, key]] of pairs.entries()) expect(await alice.state(room, type, key)).toEqual({ index })
      const state = await alice.get<unknown>(`${at}/state`)
      const listed = (state as { type: string; state_key: string }[]).map((event) => JSON.stringify([event.type, event.state_key]))
      expect(listed).toEqual(expect.arrayContaining(pairs.map((pair) => JSON.stringify(pair))))
      const events = new Set<string>()
      for (const [type, txnId] of pairs) events.add(await alice.message(room, { body: 'x' }, { type, txnId }))
      expect(events.size).toBe(pairs.length)
    })

    test('what is named like a property of every object is nothing special (R43)', async () => {
      const mallory = await cluster().register('mallory')
      const shared = await alice.createRoom({ preset: 'public_chat' })
      await mallory.join(shared)
      const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf']
      for (const name of names) {
        // `events[type] ?? state_default` finds a function, and 0 < function is false: the send would be allowed.
        await expect(mallory.setState(shared, name, '', {})).rejects.toMatchObject({ status: 403, errcode: 'M_FORBIDDEN' })
        await expect(alice.state(shared, name)).rejects.toMatchObject({ status: 404, errcode: 'M_NOT_FOUND' })
        await expect(mallory.get(`/user/${enc(mallory.userId)}/account_data/${name}`)).rejects.toMatchObject({
          status: 404,
          errcode: 'M_NOT_FOUND',
        })
        await expect(mallory.get(`/profile/${enc(mallory.userId)}/${name}`)).rejects.toMatchObject({
          status: expect.any(Number),
          errcode: expect.stringMatching(/^M_/),
        })
      }
      const secret = await alice.message(shared, JSON.parse('{"body":"secret","__proto__":{"body":"secret"},"constructor":"secret"}'))
      await alice.redact(shared, secret)
      expect(JSON.stringify(await mallory.event(shared, secret))).not.toContain('"secret"')
      await cluster().settle()
      expect(JSON.stringify(await mallory.sync())).not.toContain('"secret"')
    })

    function put(path: string, body: unknown = {}): Promise<Answer> {
      return alice.attempt('PUT', `${v3}${path}`, body)
    }

    async function newestEvent() {
      const [event] = (await alice.messages(room, { dir: 'b', limit: '1' })).chunk
      return event as NonNullable<typeof event>
    }
  })
}

function around(before: string, text: string | Buffer, after: string): Buffer {
  return Buffer.concat([Buffer.from(before), Buffer.from(text as string), Buffer.from(after)])
}

/** The same value with the keys of each object in one order: canonical JSON has its own. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted((value as Json)[key])]),
  )
}
