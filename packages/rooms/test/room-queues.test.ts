import { expect, test } from '@jest/globals'
import { ReceiveQueueFull, RoomQueues } from '../src/receive/room-queues.ts'

test('a room is worked on in order and waits for no other, and what is too much is refused until there is place', async () => {
  const queues = new RoomQueues(3, 5)
  const done: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = queues.run('!a', 2, async () => {
    await gate.promise
    done.push('a1')
  })
  const failing = queues.run('!a', 1, async () => {
    done.push('a2')
    throw new Error('no')
  })
  await queues.run('!b', 1, async () => {
    done.push('b')
  })
  expect(() => queues.run('!a', 1, async () => {})).toThrow(ReceiveQueueFull)
  expect(() => queues.run('!c', 3, async () => {})).toThrow(ReceiveQueueFull)
  expect(queues.size).toBe(3)
  gate.resolve()
  await first
  await expect(failing).rejects.toThrow('no')
  expect(done).toEqual(['b', 'a1', 'a2'])
  expect(queues.size).toBe(0)
  // More at once than ever fits is taken where nothing waits: it would never come in otherwise.
  expect(await queues.run('!a', 9, async () => 'all')).toBe('all')
})
