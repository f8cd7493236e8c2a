import { EventEmitter } from 'node:events'
import { expect, test } from '@jest/globals'
import { ManualClock, onStopSignals } from '../src/index.ts'

function listening() {
  const source = new EventEmitter()
  const clock = new ManualClock()
  const seen: string[] = []
  onStopSignals({ stop: (signal) => seen.push(`stop ${signal}`), end: (signal) => seen.push(`end ${signal}`) }, source, clock)
  return { source, clock, seen }
}

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s stops', (signal) => {
  const { source, seen } = listening()
  source.emit(signal, signal)
  expect(seen).toEqual([`stop ${signal}`])
})

test('the echo of a signal, within a second, is not a second one', () => {
  const { source, clock, seen } = listening()
  source.emit('SIGINT', 'SIGINT')
  clock.advance(30)
  source.emit('SIGINT', 'SIGINT')
  clock.advance(969)
  source.emit('SIGTERM', 'SIGTERM')
  expect(seen).toEqual(['stop SIGINT'])
})

test('a signal a second later ends at once', () => {
  const { source, clock, seen } = listening()
  source.emit('SIGINT', 'SIGINT')
  clock.advance(1000)
  source.emit('SIGINT', 'SIGINT')
  expect(seen).toEqual(['stop SIGINT', 'end SIGINT'])
})
