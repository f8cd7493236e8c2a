import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Roster } from '../src/index.ts'

test('holds what has come and not gone', () => {
  // Each number: below a half somebody comes, else one of those there leaves.
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (steps) => {
      const roster = new Roster<{ readonly id: number }>()
      const there = new Map<number, { readonly id: number }>()
      for (const [id, step] of steps.entries()) {
        const places = [...there.keys()]
        if (step < 0.5 || places.length === 0) {
          const item = { id }
          const place = roster.add(item)
          expect(there.has(place)).toBe(false)
          there.set(place, item)
        } else {
          const place = places[Math.floor((step - 0.5) * 1.99 * places.length)] as number
          roster.delete(place)
          there.delete(place)
        }
        expect(roster.size).toBe(there.size)
      }
      expect(new Set(roster.all())).toEqual(new Set(there.values()))
    }),
  )
})

test('takes the places of those who left before it grows', () => {
  const roster = new Roster<object>()
  const places = [{}, {}, {}].map((item) => roster.add(item))
  roster.delete(places[1] as number)
  expect(roster.add({})).toBe(places[1])
  expect(roster.all()).toHaveLength(3)
})
