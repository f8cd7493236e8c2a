/**
 * Preloaded into each process of a server under measurement (`NODE_OPTIONS=--import`): on SIGUSR2 it writes the longest delay of the
 * event loop since the last time, in ms, to LOOP_PROBE_DIR/PID. The server's own metric looks ten times a second, which is too
 * seldom for a bar of 50 ms.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

const folder = process.env.LOOP_PROBE_DIR
if (folder !== undefined && isMainThread) {
  const resolution = 5
  const delay = monitorEventLoopDelay({ resolution })
  delay.enable()
  process.on('SIGUSR2', () => {
    const file = join(folder, String(process.pid))
    writeFileSync(`${file}.part`, String(Math.max(0, delay.max / 1e6 - resolution)))
    renameSync(`${file}.part`, file)
    delay.reset()
  })
}
