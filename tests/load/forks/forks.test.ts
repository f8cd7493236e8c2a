import { describe, expect, test } from '@jest/globals'
import { forkedRoom } from './forked-room.ts'
import { LoopWatch } from './loop-watch.ts'

describe('a forked room', () => {
  const recipe = { version: '12', name: 'forked', forks: 6, events: 90, chatter: 0.5 }

  test('has as many forks as asked for, each a line of its own from where they part', () => {
    const { room, base, forked } = forkedRoom(recipe)
    expect(forked).toHaveLength(90)
    expect(room.tips).toHaveLength(6)
    const known = new Set(base)
    const ends = new Map<string, number>([[base.at(-1) as string, 6]])
    for (const id of forked) {
      const { prevIds } = room.get(id)
      expect(prevIds).toHaveLength(1)
      const before = prevIds[0] as string
      // In the order in which they come in, and no event is built on twice but the last common one.
      expect(known).toContain(before)
      expect(ends.get(before)).toBeGreaterThan(0)
      ends.set(before, (ends.get(before) as number) - 1)
      ends.set(id, 1)
      known.add(id)
    }
  })

  test('is the same each time, and another room by another name', () => {
    const [one, again, other] = [forkedRoom(recipe), forkedRoom(recipe), forkedRoom({ ...recipe, name: 'other' })]
    expect(again.forked).toEqual(one.forked)
    expect(other.room.roomId).not.toBe(one.room.roomId)
    const course = ({ room, forked }: typeof one) => forked.map((id) => [room.get(id).pdu.type, room.get(id).rejected])
    expect(course(other)).toEqual(course(one))
  })
})

test('the watch enters a stall for everybody who would have waited in it', async () => {
  const watch = new LoopWatch()
  await new Promise((resolve) => setImmediate(resolve))
  watch.take()
  const until = performance.now() + 200
  while (performance.now() < until);
  // The watch's timer is due: it is called before the second turn.
  for (let i = 0; i < 2; i++) await new Promise((resolve) => setImmediate(resolve))
  const { p50, max } = watch.take()
  expect(max).toBeGreaterThan(150)
  // Of two hundred milliseconds nearly all were in the stall.
  expect(p50).toBeGreaterThan(20)
  expect(watch.take()).toEqual({ p50: 0, p99: 0, max: 0 })
})
