import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { ManualClock, systemClock } from '../src/index.ts'

describe('system clock', () => {
  beforeEach(() => {
    jest.useFakeTimers({ now: 1_700_000_000_000 })
  })
  afterEach(() => {
    jest.useRealTimers()
  })

  test('tells the time and calls once', () => {
    const calls: number[] = []
    systemClock.setTimeout(() => calls.push(systemClock.now()), 1000)
    jest.advanceTimersByTime(5000)
    expect(calls).toEqual([1_700_000_001_000])
  })

  test('a timeout beyond what Node can hold is not called early', () => {
    const run = jest.fn()
    const days30 = 30 * 24 * 3600 * 1000
    systemClock.setTimeout(run, days30)
    jest.advanceTimersByTime(days30 - 1)
    expect(run).not.toHaveBeenCalled()
    jest.advanceTimersByTime(1)
    expect(run).toHaveBeenCalledTimes(1)
  })

  test('timers can be taken back, also by leaving a block', () => {
    const run = jest.fn()
    const timer = systemClock.setTimeout(run, 10)
    timer.cancel()
    timer.cancel()
    {
      using _interval = systemClock.setInterval(run, 10)
      jest.advanceTimersByTime(25)
    }
    jest.advanceTimersByTime(100)
    expect(run).toHaveBeenCalledTimes(2)
  })

  test('the monotonic clock goes forward', () => {
    const first = systemClock.monotonic()
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(first)
  })
})

test('the manual clock runs what falls due, in order, timers made on the way included', () => {
  const clock = new ManualClock(1000)
  const calls: string[] = []
  const note = (name: string) => () => calls.push(`${name}@${clock.now()}`)
  clock.setTimeout(note('b'), 20)
  clock.setTimeout(() => {
    note('a')()
    clock.setTimeout(note('c'), 5)
  }, 10)
  const every = clock.setInterval(note('i'), 8)
  clock.setTimeout(note('never'), 15).cancel()
  clock.advance(16)
  every.cancel()
  clock.advance(100)
  expect(calls).toEqual(['i@1008', 'a@1010', 'c@1015', 'i@1016', 'b@1020'])
  expect(clock.monotonic()).toBe(116)
  expect(clock.pending).toBe(0)
})
