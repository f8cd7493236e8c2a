import { expect, test } from '@jest/globals'
import { RoomsRig } from './rig.ts'

const alice = '@alice:weft.test'

test('more rooms than there is memory for: what is sent to all at once is sent, each after the other of its room', async () => {
  const rig = await RoomsRig.start({ headBytes: 1 })
  try {
    const rooms: string[] = []
    for (let i = 0; i < 15; i++) rooms.push(await rig.room(alice))
    for (let round = 0; round < 4; round++) {
      // State keys without a number are waited for, and their heads may leave the cache meanwhile.
      const sends = rooms.flatMap((room, i) => [
        rig.set(alice, room, 'test.state', { round }, `${round} ${i}`),
        rig.text(alice, room, `text ${round}`),
        rig.set(alice, room, `test.${round}.${i}`, {}),
      ])
      await Promise.all(sends)
    }
    await rig.room(alice)
    expect(rig.heads.figures.rooms).toBeLessThan(3)
    for (const [i, roomId] of rooms.entries()) {
      const access = await rig.reads.access(alice, roomId)
      const { chunk } = await rig.timelines.messages(access, { direction: 'f', limit: 100 })
      const events = chunk.map((text) => JSON.parse(text))
      expect(events.filter(({ type }) => type.startsWith('test.'))).toHaveLength(8)
      expect(events.filter(({ type }) => type === 'm.room.message')).toHaveLength(4)
      // A second head of a room would fork it, or take state back.
      const rows = await rig.events.fullByNids(
        (
          await rig.events.page((await rig.rooms.byRoomId(roomId))!.roomNid, {
            direction: 'f',
            from: 0,
            until: Number.MAX_SAFE_INTEGER,
            limit: 100,
          })
        ).map((row) => row.eventNid),
      )
      const depths = [...rows.values()].map(({ envelope }) => (JSON.parse(envelope) as { depth: number }).depth).sort((a, b) => a - b)
      expect(depths).toEqual(depths.map((_, at) => at + 1))
      for (let round = 0; round < 4; round++) {
        expect(await rig.content(alice, roomId, 'test.state', `${round} ${i}`)).toEqual({ round })
        expect(await rig.content(alice, roomId, `test.${round}.${i}`)).toEqual({})
      }
    }
  } finally {
    await rig.stop()
  }
})

test('a head that somebody still has is the one that comes back, unless what was built on it failed', async () => {
  const rig = await RoomsRig.start({ headBytes: 1 })
  try {
    const roomId = await rig.room(alice)
    const held = await rig.heads.get(roomId)
    const evict = async () => {
      await rig.room(alice)
      expect(rig.heads.figures.rooms).toBe(1)
    }
    await evict()
    expect(rig.heads.peek(roomId)).toBe(held)
    expect(await rig.heads.get(roomId)).toBe(held)
    await evict()
    await rig.text(alice, roomId, 'one')
    expect(held.extremities[0]?.depth).toBe((await rig.heads.get(roomId)).extremities[0]?.depth)
    await evict()
    rig.heads.drop(held)
    const read = await rig.heads.get(roomId)
    expect(read).not.toBe(held)
    expect(read.extremities).toEqual(held.extremities)
    await evict()
    rig.heads.clear()
    expect(rig.heads.peek(roomId)).toBeUndefined()
    expect(read.stale).toBe(true)
  } finally {
    await rig.stop()
  }
})
