import type { ServerResponse } from 'node:http'
import { expect, test } from '@jest/globals'
import type { buildConnector } from 'undici'
import type { Stage } from '../src/attempt.ts'
import { ConnectionPool } from '../src/connection-pool.ts'
import { SmallAttempt } from '../src/small-attempt.ts'

test('a request may be tried again from inside its failure, on connections that break while they are made', async () => {
  let connections = 0
  // As a process looks that was killed with connections in its backlog.
  const reset: buildConnector.connector = (_options, callback) => {
    connections++
    setImmediate(() => callback(Object.assign(new Error('reset'), { code: 'ECONNRESET' }), null))
  }
  const pool = new ConnectionPool('http://127.0.0.1:1', reset)
  const stages = await new Promise<Stage[]>((resolve) => {
    const failures: Stage[] = []
    const attempt = () =>
      new SmallAttempt(
        pool,
        {} as ServerResponse,
        { method: 'GET', url: '/', headers: [], body: null },
        {
          head: () => undefined,
          finished: () => undefined,
          failed: (_error, stage) => {
            failures.push(stage)
            if (failures.length === 5) resolve(failures)
            else attempt()
          },
        },
      )
    attempt()
  })
  expect(stages).toEqual(Array(5).fill('unsent'))
  expect(connections).toBe(5)
  pool.close()
})
