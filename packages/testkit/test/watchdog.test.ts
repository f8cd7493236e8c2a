import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from '@jest/globals'
import { redisProgram } from '../src/index.ts'

/** False for a process that has ended, also where nobody has asked for its exit code yet. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z')
  } catch {
    // The kernel has no entry for a process that is gone.
    return false
  }
}

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
