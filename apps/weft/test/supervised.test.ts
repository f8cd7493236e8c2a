import { EventEmitter } from 'node:events'
import { expect, test } from '@jest/globals'
import { createLogger } from '@weft/kernel'
import { type Running, Supervised } from '../src/supervised.ts'

/** A thing that ends when a test says so. */
class Thing implements Running {
  readonly pid: number
  readonly exited: Promise<string>
  readonly #exit = new EventEmitter()
  stopped = false

  constructor(pid: number) {
    this.pid = pid
    this.exited = new Promise((resolve) => this.#exit.once('exit', resolve))
  }

  end(how: string): void {
    this.#exit.emit('exit', how)
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.end('SIGTERM')
  }
}

interface Line {
  readonly msg: string
  readonly restartInMs?: number
  readonly how?: string
}

function supervised(faults: readonly number[] = [], onFault = () => {}) {
  const lines: Line[] = []
  const things: Thing[] = []
  let tries = 0
  let changed = Promise.withResolvers<void>()
  const child = new Supervised({
    name: 'thing',
    async launch() {
      if (faults.includes(tries++)) {
        onFault()
        throw new Error('no')
      }
      const thing = new Thing(tries)
      things.push(thing)
      return thing
    },
    log: createLogger({ level: 'info', format: 'json', write: (line) => lines.push(JSON.parse(line) as Line) }),
    onChange() {
      changed.resolve()
      changed = Promise.withResolvers()
    },
  })
  /** Resolves when another one runs than did before. */
  const next = async (before: Thing | undefined): Promise<Thing> => {
    for (;;) {
      const thing = things.at(-1)
      if (thing !== undefined && thing !== before && child.pid === thing.pid) return thing
      await changed.promise
    }
  }
  return { child, lines, things, next }
}

test('what ends is started again, later each time while it does not live long', async () => {
  const { child, lines, next } = supervised()
  await child.start()
  let thing = await next(undefined)
  for (const how of ['exit 1', 'SIGKILL', 'SIGKILL']) {
    thing.end(how)
    thing = await next(thing)
  }
  expect(lines.map(({ how, restartInMs }) => [how, restartInMs])).toEqual([
    ['exit 1', 100],
    ['SIGKILL', 200],
    ['SIGKILL', 400],
  ])
  expect(child.pid).toBe(4)
  await child.stop()
  expect([thing.stopped, child.pid]).toEqual([true, undefined])
})

test('a start that fails is tried again, but not the first', async () => {
  const { child, lines, next } = supervised([1, 2])
  await child.start()
  const first = await next(undefined)
  first.end('SIGSEGV')
  await next(first)
  expect(lines.map(({ msg, restartInMs }) => [msg, restartInMs])).toEqual([
    ['a child ended: it is started again', 100],
    ['a child could not be started', undefined],
    ['a child ended: it is started again', 200],
    ['a child could not be started', undefined],
    ['a child ended: it is started again', 400],
  ])
  await child.stop()
  await expect(supervised([0]).child.start()).rejects.toThrow('no')
})

test('told to stop while it waits to start again, it does not', async () => {
  const { child, things } = supervised()
  await child.start()
  things[0]?.end('SIGKILL')
  await child.stop()
  expect([things.length, child.pid]).toEqual([1, undefined])
})

test('told to stop while a start fails, it does not wait for another one', async () => {
  const stopped = Promise.withResolvers<void>()
  const { child, lines, things } = supervised([1], () => stopped.resolve(child.stop()))
  await child.start()
  things[0]?.end('SIGKILL')
  await stopped.promise
  expect(lines.map(({ msg }) => msg)).toEqual(['a child ended: it is started again', 'a child could not be started'])
  expect(things).toHaveLength(1)
})
