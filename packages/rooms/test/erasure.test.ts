import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { eventIdOf, joinPdu, makeSigner, referenceHash, requireRoomVersion, verifyEventSignature } from '@weft/matrix'
import { RedactedEventsReader } from '@weft/storage'
import { RedactionErasure } from '../src/index.ts'
import { RoomsRig } from './rig.ts'

const alice = '@alice:weft.test'
const WEEK = 7 * 86_400_000
const never = new AbortController().signal
const publicKey = makeSigner('weft.test', 'ed25519:1', Buffer.alloc(32, 7)).publicKey

let rig: RoomsRig
let redacted: RedactedEventsReader
let now = Date.now()
let pauses = 0

beforeAll(async () => {
  rig = await RoomsRig.start()
  redacted = new RedactedEventsReader(rig.database.db)
})
afterAll(async () => {
  await rig.stop()
})

function erasure(): RedactionErasure {
  const clock = {
    now: () => now,
    setTimeout(fn: () => void) {
      pauses++
      fn()
    },
  }
  return new RedactionErasure({ redacted, db: rig.database.db, clock })
}

/** Everything that the tables hold of an event. */
async function stored(eventId: string): Promise<string> {
  const rows = await rig.database.db.query<{ row: string }>(
    { name: 'test.row', text: 'SELECT events::text AS row FROM events WHERE event_id = $1' },
    [eventId],
  )
  return rows[0]!.row
}

test.each(['1', '5', '10', '11', '12'])('redacted text of a room of version %s goes when its time has passed', async (room_version) => {
  now = Date.now()
  const version = requireRoomVersion(room_version)
  const roomId = await rig.room(alice, { room_version })
  const message = await rig.text(alice, roomId, 'a secret')
  const kept = await rig.text(alice, roomId, 'no secret')
  const name = await rig.set(alice, roomId, 'm.room.name', { name: 'a secret name' })
  const nid = (await rig.events.byId(message))!.eventNid
  const pdu = async () => {
    const row = (await rig.events.fullByNids([nid])).get(nid)!
    return joinPdu(row.json, row.envelope, roomId, version)
  }
  const hash = referenceHash(await pdu(), version)
  for (const eventId of [message, name]) await rig.redact(alice, roomId, eventId)
  // As it is shown, but for its age.
  const show = async () => (await rig.reads.event(alice, roomId, message)).replace(/"age":\d+/, '')
  const shown = await show()
  expect(await redacted.waiting()).toBe(2)

  now += WEEK - 60_000
  expect(await erasure().run(WEEK, never)).toBe(0)
  expect(await stored(message)).toContain('a secret')
  now += 120_000
  expect(await erasure().run(WEEK, never)).toBe(2)
  expect(await redacted.waiting()).toBe(0)
  expect(await stored(message)).not.toContain('a secret')
  expect(await stored(name)).not.toContain('a secret')
  expect(await stored(kept)).toContain('no secret')
  expect(await erasure().run(WEEK, never)).toBe(0)

  // Nothing that anybody sees has changed by it, and it is the same event to other servers.
  expect(await show()).toBe(shown)
  expect(eventIdOf(await pdu(), version)).toBe(message)
  expect(referenceHash(await pdu(), version)).toBe(hash)
  expect(verifyEventSignature(await pdu(), version, 'weft.test', 'ed25519:1', publicKey)).toEqual({ ok: true })
  rig = rig.restarted()
  await rig.text(alice, roomId, 'goes on')
})

test('many go in batches with pauses between, and a draining process stops between two', async () => {
  const roomId = await rig.room(alice)
  await rig.database.db.query(
    {
      name: 'test.many',
      text: `WITH made AS (
          INSERT INTO events (event_nid, room_nid, stream_ordering, depth, origin_server_ts, event_id, type, sender, json, envelope, redacted_by)
          SELECT -n, $1, -n, 1, 1, '$' || n, 'm.room.message', '@x:y', '{"content":{"body":"a secret"},"type":"m.room.message"}', '{}', 1
          FROM generate_series(1, 250) n RETURNING event_nid)
        INSERT INTO redacted_events (event_nid, redacted_ts) SELECT event_nid, 1 FROM made`,
    },
    [(await rig.rooms.byRoomId(roomId))!.roomNid],
  )
  pauses = 0
  const aborted = AbortSignal.abort(new Error('the process drains'))
  await expect(erasure().run(WEEK, aborted)).rejects.toThrow('drains')
  expect(await redacted.waiting()).toBe(250)
  expect(await erasure().run(WEEK, never)).toBe(250)
  expect(pauses).toBe(2)
  const [left] = await rig.database.db.query({ name: 'test.left', text: `SELECT count(*) AS n FROM events WHERE json LIKE '%a secret%'` })
  expect(left).toEqual({ n: 0 })
})
