/** Starts what tests start, says what it started as a line of JSON, and waits to be killed: for watchdog.test.ts. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClusterProcess, startRedis } from '../src/index.ts'

const ready = `console.log(JSON.stringify({ level: 'info', msg: 'readiness changed', ready: true })); setInterval(() => {}, 60_000)`
const folder = mkdtempSync(join(tmpdir(), 'weft-orphans-'))
const make = (name: string) => new ClusterProcess({ class: 'sync', name, args: ['-e', ready], env: {}, cwd: folder })
const running = make('running')
const stopped = make('stopped')
await Promise.all([running.start(), stopped.start()])
process.kill(stopped.pid, 'SIGSTOP')
const redis = process.argv[2] === 'redis' ? await startRedis() : undefined
const pids = [running.pid, stopped.pid, ...(redis?.process?.pid === undefined ? [] : [redis.process.pid])]
process.stdout.write(`${JSON.stringify({ pids, folder })}\n`)
setInterval(() => undefined, 60_000)
