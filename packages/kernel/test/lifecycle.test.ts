import { describe, expect, test } from '@jest/globals'
import { createLogger, ManualClock, ProcessLifecycle, silentLogger } from '../src/index.ts'

function lifecycle(clock = new ManualClock()): ProcessLifecycle {
  return new ProcessLifecycle({ log: silentLogger, clock, deadlineMs: 1000 })
}

describe('stopping', () => {
  test('drains first, then runs the steps in reverse order, one after another', async () => {
    const life = lifecycle()
    const seen: string[] = []
    life.draining.addEventListener('abort', () => seen.push('draining'))
    life.onStop('database', () => {
      seen.push('database')
    })
    life.part('sync').onStop('streams', async () => {
      seen.push('streams begin')
      await Promise.resolve()
      seen.push('streams end')
    })
    expect(await life.stop('test')).toEqual({ clean: true, failure: undefined })
    expect(seen).toEqual(['draining', 'streams begin', 'streams end', 'database'])
  })

  test('happens once, and everybody who asks waits for the same end', async () => {
    const life = lifecycle()
    let runs = 0
    life.onStop('once', () => {
      runs++
    })
    const [a, b] = await Promise.all([life.stop('a'), life.stop('b')])
    expect(runs).toBe(1)
    expect(a).toBe(b)
    expect(await life.finished).toBe(a)
  })

  test('a step that fails does not keep the others from running', async () => {
    const lines: string[] = []
    const log = createLogger({ level: 'error', format: 'json', write: (line) => lines.push(line) })
    const life = new ProcessLifecycle({ log, clock: new ManualClock(), deadlineMs: 1000 })
    let ran = false
    life.onStop('first registered', () => {
      ran = true
    })
    life.onStop('bad', () => Promise.reject(new Error('boom')))
    expect((await life.stop('test')).clean).toBe(false)
    expect(ran).toBe(true)
    expect(lines[0]).toMatch(/"step":"bad".*stopping step failed/)
  })

  test('a step that hangs is left behind at the deadline, by name', async () => {
    const lines: string[] = []
    const clock = new ManualClock()
    const log = createLogger({ level: 'error', format: 'json', write: (line) => lines.push(line) })
    const life = new ProcessLifecycle({ log, clock, deadlineMs: 1000 })
    const entered = Promise.withResolvers<void>()
    life.onStop('hanging', () => {
      entered.resolve()
      return new Promise(() => undefined)
    })
    const stopped = life.stop('test')
    await entered.promise
    clock.advance(1000)
    expect((await stopped).clean).toBe(false)
    expect(lines[0]).toMatch(/"step":"hanging"/)
    expect(clock.pending).toBe(0)
  })

  test('what was registered while it stops is stopped as well', async () => {
    const life = lifecycle()
    const seen: string[] = []
    life.onStop('outer', () => {
      life.onStop('late', () => {
        seen.push('late')
      })
    })
    await life.stop('test')
    expect(seen).toEqual(['late'])
  })

  test('fail stops, and the outcome carries the first reason', async () => {
    const life = lifecycle()
    const lost = new Error('lease lost')
    life.part('writer').fail(lost)
    life.fail(new Error('later'))
    expect(await life.finished).toEqual({ clean: true, failure: lost })
  })
})

describe('readiness', () => {
  test('every part must be ready, and none is while the process drains', async () => {
    const life = lifecycle()
    expect(life.ready).toBe(false)
    const [writer, sync] = [life.part('writer'), life.part('sync')]
    writer.setReady(true)
    expect(life.ready).toBe(false)
    sync.setReady(true)
    expect(life.ready).toBe(true)
    writer.setReady(false)
    expect([...life.parts]).toEqual([
      ['writer', false],
      ['sync', true],
    ])
    writer.setReady(true)
    const stopped = life.stop('test')
    expect(life.ready).toBe(false)
    await stopped
  })
})
