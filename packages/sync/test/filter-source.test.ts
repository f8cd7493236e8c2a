import { expect, test } from '@jest/globals'
import { FilterSource } from '../src/filter-source.ts'

const manyTypes = (first: string) =>
  JSON.stringify({ room: { timeline: { types: [first, ...Array.from({ length: 500 }, (_, i) => `t${i}`)] } } })

test('filters are kept compiled within a budget of bytes, the last used ones longest', async () => {
  const read: number[] = []
  const stored = {
    async get(_userId: string, filterId: number) {
      read.push(filterId)
      return manyTypes(String(filterId))
    },
  }
  const budget = 5 * 12 * manyTypes('0').length
  const filters = new FilterSource(stored, budget)
  const find = async (id: number) => await filters.find('@a:test', String(id))
  const first = await find(0)
  expect(await find(0)).toBe(first)
  for (const id of [1, 2, 3, 0, 4, 5]) await find(id)
  expect(await find(0)).toBe(first)
  expect(read).toEqual([0, 1, 2, 3, 4, 5])
  // Inline filters share the budget.
  for (let i = 0; i < 5; i++) await filters.find('@b:test', manyTypes(`inline${i}`))
  expect(await find(0)).not.toBe(first)
})

test('a filter of one user is none of another, and one larger than the budget works', async () => {
  const filters = new FilterSource({ get: async (userId) => (userId === '@a:test' ? manyTypes('x') : undefined) }, 100)
  expect((await filters.find('@a:test', '0')).room.timeline.matchesType('x')).toBe(true)
  await expect(async () => filters.find('@b:test', '0')).rejects.toMatchObject({ errcode: 'M_INVALID_PARAM' })
  expect((await filters.find('@b:test', manyTypes('y'))).room.timeline.matchesType('y')).toBe(true)
})
