import { expect, test } from '@jest/globals'
import { compileFilter, requireRoomVersion } from '@weft/matrix'
import { BEGINNING } from '../src/positions.ts'
import { eventForms } from '../src/present-v3.ts'
import { roomWork, type SyncScope } from '../src/room-work.ts'
import { TimelineEvent } from '../src/timeline-event.ts'

test('bringing many events into another form lets others have their turn', async () => {
  const scope: SyncScope = {
    userId: '@a:test',
    deviceId: 'A',
    since: undefined,
    held: -1,
    now: BEGINNING,
    ts: 0,
    filter: compileFilter({ event_fields: ['content.body'] }),
    fullState: false,
    stateAfter: false,
    ignored: new Set(),
    blocksInvites: false,
  }
  const work = roomWork({ roomNid: 1, roomId: '!r:test', section: 'join', feed: undefined, since: 0, until: 0 })
  work.state = Array.from({ length: 2000 }, (_, nid) => {
    const facts = { nid, eventId: `$${nid}`, roomNid: 1, position: 0, type: 't', stateKey: `${nid}`, sender: '@a:test', originServerTs: 0 }
    const json = JSON.stringify({ type: 't', sender: '@a:test', content: { body: `${nid}`, more: 1 } })
    return new TimelineEvent(
      { ...facts, version: requireRoomVersion('11'), replacesNid: undefined, transaction: undefined },
      Buffer.from(json),
    )
  })
  let othersHadTheirTurn = false
  setImmediate(() => {
    othersHadTheirTurn = true
  })
  const forms = await eventForms([work], scope, { envelopes: async () => new Map() })
  expect(othersHadTheirTurn).toBe(true)
  expect(forms?.size).toBe(2000)
  expect(forms?.get(1999)).toBe('{"content":{"body":"1999"}}')
})
