import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from '@jest/globals'
import { isRunning, redisProgram } from '../src/index.ts'

test('what a killed test run has started ends with it, stopped processes too, and its folder is deleted', async () => {
  const wanted = redisProgram() === undefined ? [] : ['redis']
  const program = join(import.meta.dirname, 'orphans.ts')
  const run = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...wanted], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const died = once(run, 'exit').then(([code]) => Promise.reject(new Error(`it ended with exit code ${code}`)))
  died.catch(() => undefined)
  const [line] = (await Promise.race([once(createInterface({ input: run.stdout }), 'line'), died])) as [string]
  const { pids, folder } = JSON.parse(line) as { pids: number[]; folder: string }
  expect(pids).toHaveLength(2 + wanted.length)
  expect(pids.every(isRunning)).toBe(true)
  run.kill('SIGKILL')
  // The test's time limit is the bound.
  while (pids.some(isRunning) || existsSync(folder)) await new Promise((resolve) => setImmediate(resolve))
})
