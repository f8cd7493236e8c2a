import { describe, expect, test } from '@jest/globals'
import { groupOfEvent, isStored, type StateGroupRow } from '@weft/storage'
import fc from 'fast-check'
import { decodeDelta, encodeDelta } from '../src/state-delta.ts'
import { StateGroupChain, stateOfGroup } from '../src/state-groups.ts'

const nid = fc.integer({ min: 1, max: 2 ** 50 })

describe('state deltas', () => {
  test('come back from their encoding', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(nid, fc.oneof(nid, fc.constant(0)))), (entries) => {
        const delta = new Map(entries)
        expect(decodeDelta(encodeDelta(delta))).toEqual(new Map([...delta].sort(([a], [b]) => a - b)))
      }),
    )
  })

  test('a cut-off encoding is refused', () => {
    const bytes = encodeDelta(new Map([[1000, 2000]]))
    expect(() => decodeDelta(bytes.subarray(0, -1))).toThrow(RangeError)
  })
})

describe('state groups', () => {
  /** Runs changes through a chain, reloading it from the rows every so often, and checks every group against a plain map. */
  function run(changes: Array<[key: number, event: number]>, reloadEvery: number, checkEvery = 1) {
    const rows = new Map<number, StateGroupRow>()
    const walk = (group: number): StateGroupRow[] => {
      const chain: StateGroupRow[] = []
      for (let at: number | undefined = group; at !== undefined; at = chain.at(-1)?.prevStateGroup)
        chain.push(rows.get(at) as StateGroupRow)
      return chain
    }
    const state = new Map<number, number>()
    const expected = new Map<number, Map<number, number>>()
    let chain = StateGroupChain.empty()
    let longest = 0
    changes.forEach(([key, event], i) => {
      if (event === 0) state.delete(key)
      else state.set(key, event)
      // What sets a key is an event of that number; removals come of resolving.
      const row = chain.append(event === 0 ? i + 1 : groupOfEvent(event), 7, new Map([[key, event]]), state.size)
      rows.set(row.stateGroup, row)
      if (i % checkEvery === 0) expected.set(row.stateGroup, new Map(state))
      if ((i + 1) % reloadEvery === 0) chain = StateGroupChain.load(walk(row.stateGroup))
      longest = Math.max(longest, walk(row.stateGroup).length)
    })
    for (const [group, want] of expected) expect(new Map([...stateOfGroup(walk(group))].sort())).toEqual(new Map([...want].sort()))
    let bytes = 0
    const stored = [...rows.values()].filter(isStored)
    for (const row of stored) bytes += row.delta.length
    return { longest, bytes, stored: stored.length }
  }

  test('every group gives back its state, across reloads and removals', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.boolean()), { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 1, max: 40 }),
        (changes, reloadEvery) => {
          run(
            changes.map(([key, set], i) => [key, set ? i + 1 : 0]),
            reloadEvery,
          )
        },
      ),
      { numRuns: 60 },
    )
  })

  test('chains stay short and bytes grow as n log n when a room only grows', () => {
    const small = run(
      Array.from({ length: 500 }, (_, i) => [i + 1, i + 1000]),
      1000,
      50,
    )
    const large = run(
      Array.from({ length: 4000 }, (_, i) => [i + 1, i + 1000]),
      5000,
      500,
    )
    expect(large.longest).toBeLessThanOrEqual(48)
    expect(large.bytes / small.bytes).toBeLessThan(8 * 2)
    // The rest is said by the events.
    expect(large.stored).toBe(4000 / 16)
  })
})
