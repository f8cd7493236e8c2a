import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { RoomInspection } from '@weft/rooms'
import { connectionUrl } from '@weft/storage'
import { freePort, type TestDatabase, testDatabase } from '@weft/testkit'
import { renderRoom } from '../src/room-report.ts'
import { endAll, temporaryFolder, Weft, weft } from './weft.ts'

let database: TestDatabase
let folder: ReturnType<typeof temporaryFolder>
beforeAll(async () => {
  database = await testDatabase()
  folder = temporaryFolder()
})
afterAll(async () => {
  await endAll()
  await database.close()
  await folder.remove()
})

test('what is no room of this server is told in a line', async () => {
  const env = { DATABASE_URL: connectionUrl(database.connection), WEFT_SERVER_NAME: 'a.b' }
  const [unknown, alias, wrong] = await Promise.all(
    ['!nothing', '#nothing:a.b', 'nothing'].map((name) => weft(['room', 'inspect', name], { cwd: folder.path, env })),
  )
  expect(unknown).toEqual({ code: 1, out: '', err: 'weft: this server has no room !nothing\n' })
  expect(alias).toEqual({ code: 1, out: '', err: 'weft: this server has no room #nothing:a.b\n' })
  expect(wrong).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/^weft: "nothing" is no room id .* quote it\.\n$/) })
})

test('a room of a server that runs with its database inside', async () => {
  const port = await freePort()
  const env = { WEFT_LISTENERS__0__PORT: String(port) }
  const server = new Weft(['start'], { cwd: folder.path, env })
  await server.says(/To stop:/)
  const call = async (path: string, body: object, token?: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/_matrix/client/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    })
    return (await response.json()) as Record<string, string>
  }
  const registered = await call('register', { username: 'alice', password: 'a long password', auth: { type: 'm.login.dummy' } })
  const made = await call('createRoom', { name: 'Loom', room_alias_name: 'loom' }, registered.access_token)
  const alias = `#loom:${registered.user_id?.split(':').slice(1).join(':')}`
  const inspect = (...args: string[]) => weft(['room', 'inspect', ...args], { cwd: folder.path, env })
  const [text, json] = await Promise.all([inspect(alias), inspect(made.room_id as string, '--json')])

  expect([json.code, json.err]).toEqual([0, ''])
  const room = JSON.parse(json.out) as RoomInspection
  expect(room).toMatchObject({ roomId: made.room_id, roomVersion: '12', creators: [registered.user_id], members: { join: 1 } })
  expect([text.code, text.err]).toEqual([0, ''])
  expect(text.out).toMatch(
    new RegExp(`^Room ${made.room_id}\n  version          12\n  creator          ${registered.user_id}\n  name             Loom\n`),
  )
  expect(text.out).toMatch(/\nMembers\n {2}join {13}1\n/)
  expect(text.out).toMatch(/\nForward extremities: 1\n {2}\$\S+ {2}depth \d+, just now, \S+ of @alice:/)
  expect((await server.stop()).code).toBe(0)

  // Without the server there is no database to look into.
  const { code, out, err } = await inspect(alias)
  expect([code, out]).toEqual([1, ''])
  expect(err).toMatch(/^weft: the database cannot be used: /)
}, 120_000)

test('what members wrote moves no cursor', () => {
  const room: RoomInspection = {
    ...{
      roomId: '!x',
      roomVersion: '11',
      creators: ['@a:b'],
      name: '\u001b[2Jbad\nname\u202e',
      canonicalAlias: undefined,
      roomType: undefined,
    },
    ...{
      joinRule: '\u0007',
      encrypted: true,
      replacement: undefined,
      predecessor: undefined,
      aliasNames: [],
      aliases: 0,
      published: false,
    },
    ...{ members: {}, stateEntries: 0, stateChanges: 0, positions: { first: 1, last: 2 } },
    events: {
      ...{ all: 12345, timeline: 12345, backfilled: 5, outliers: 0, rejected: 0, softFailed: 0, state: 3, redacted: 7, notErased: 2 },
      ...{ relations: 0, jsonBytes: 3_000_000, envelopeBytes: 1024, largestBytes: 900 },
    },
    stateGroups: { all: 0, snapshots: 0, deltas: 0, ofEvents: 0, bytes: 0, longestChain: 0 },
    forwardExtremities: Array.from({ length: 25 }, (_, i) => ({
      ...{ eventId: `$${i}`, type: 'a\u0000b', sender: '@a:b', depth: i, stateGroup: 1, originServerTs: i * 3_600_000 },
    })),
    backwardExtremities: ['$\u009b1m'],
  }
  const text = renderRoom(room, 86_400_000)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point.
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
  expect(text).toContain('  name             \\u{1b}[2Jbad\\u{a}name\\u{202e}\n')
  expect(text).toContain('  redacted         7, of which 5 are erased\n')
  expect(text).toContain('  bytes            2.9 MiB: 2.9 MiB for clients, 1.0 KiB for servers; the largest 900 B\n')
  expect(text).toContain('  $0  depth 0, 24 h ago, a\\u{0}b of @a:b\n')
  expect(text).toContain('  and 5 more; --json has all\n')
  expect(text).toContain('  $\\u{9b}1m')
})
