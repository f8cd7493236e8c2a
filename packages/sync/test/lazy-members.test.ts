import { expect, test } from '@jest/globals'
import { LazyMembers } from '../src/lazy-members.ts'

const user = (i: number) => `@u${i}:test`

test('members are remembered within a budget of bytes, those of the devices in use longest', () => {
  const lazy = new LazyMembers(30_000)
  const send = (device: string) => {
    for (let i = 0; i < 50; i++) lazy.sent(device, 1, user(i), i, 10)
  }
  const knows = (device: string) => lazy.knows(device, 1, user(0), 0, 1, 10)
  for (const device of ['a', 'b', 'c']) send(device)
  expect(knows('a')).toBe(true)
  send('d')
  expect(lazy.bytes).toBeLessThanOrEqual(30_000)
  // `a` came first, and was asked for since.
  expect(['a', 'b', 'c', 'd'].map(knows)).toEqual([true, false, true, true])
  for (let i = 0; i < 1000; i++) send(`device ${i}`)
  expect(lazy.bytes).toBeLessThanOrEqual(30_000)
})

test('a device with too many members is sent those of its oldest room again, and what it occupies is counted right', () => {
  const lazy = new LazyMembers()
  const knows = (room: number, i: number) => lazy.knows('a', room, user(i), i, 1, 10)
  for (let i = 0; i < 10; i++) lazy.sent('a', 1, user(i), i, 10)
  // More of one room than are remembered of a device, several times over.
  for (let i = 0; i < 20_000; i++) lazy.sent('a', 2, user(i), i, 10)
  expect(knows(1, 0)).toBe(false)
  expect(knows(2, 19_999)).toBe(true)
  expect(knows(2, 0)).toBe(false)
  expect(lazy.bytes).toBeLessThan(5000 * 200)
  lazy.forget('a')
  expect(lazy.bytes).toBe(0)
  for (let i = 0; i < 5000; i++) lazy.sent('a', 2, user(i), i, 10)
  expect(knows(2, 0)).toBe(true)
})

test('a member that was sent counts from the first answer with it on, until there is a newer one or the reader comes back', () => {
  const lazy = new LazyMembers()
  lazy.sent('a', 1, user(1), 7, 10)
  lazy.sent('a', 1, user(1), 7, 20)
  expect(lazy.knows('a', 1, user(1), 7, 1, 10)).toBe(true)
  expect(lazy.knows('a', 1, user(1), 7, 1, 9)).toBe(false)
  expect(lazy.knows('a', 1, user(1), 7, 11, 20)).toBe(false)
  lazy.sent('a', 1, user(1), 8, 30)
  expect(lazy.knows('a', 1, user(1), 7, 1, 30)).toBe(false)
  expect(lazy.knows('a', 1, user(1), 8, 1, 30)).toBe(true)
})
