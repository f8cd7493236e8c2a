import { expect, test } from '@jest/globals'
import { Gate } from '../src/gate.ts'

test('what nobody waits for any more is not done, and lets the next in', async () => {
  const gate = new Gate(1)
  const done: string[] = []
  const held = Promise.withResolvers<void>()
  const work = (name: string) => async () => {
    done.push(name)
  }
  const first = gate.run(
    () => held.promise,
    () => true,
  )
  const gone = gate.run(work('gone'), () => false)
  const next = gate.run(work('next'), () => true)
  expect(gate.queued).toBe(2)
  held.resolve()
  await expect(gone).rejects.toMatchObject({ name: 'AbortError' })
  await Promise.all([first, next])
  expect(done).toEqual(['next'])
  expect(gate.queued).toBe(0)
})
