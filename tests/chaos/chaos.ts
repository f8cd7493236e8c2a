/**
 * Every process of `weft start --split` is killed under load, one at a time, Redis is emptied, and the writer stands still for a
 * while. After each: what was acknowledged is there once, every client has caught up and seen it once and in one order, and nobody
 * had to log in again. The last line is `N passed, N failed`.
 */
import { type Recovery, SteadyLoad } from '@weft/testkit'
import { Machine } from './machine.ts'
import { StaleMail } from './stopped-writer.ts'

/** With a standby, sends succeed again so soon after the writer is gone. */
const TAKEOVER_MS = 5000
const STOPPED_MS = 15_000
/** How long the load goes on before all is compared: longer than what Redis forgot is missed, and than instances are believed in. */
const AFTERWARDS_MS = 6000

interface Rig {
  readonly machine: Machine
  readonly load: SteadyLoad
}

interface Outcome {
  readonly recovery: Recovery
  readonly faults?: readonly string[]
}

let passed = 0
let failed = 0

console.log('== two of each class, a standby writer')
await withMachine('sync=2,router=2,writer=2', { clients: 12, rooms: 6, paceMs: 150 }, async (rig) => {
  for (const name of ['sync-1', 'router-1', 'redis']) await chaos(`kill -9 ${name}`, rig, () => kill(rig, name))
  await chaos('FLUSHALL', rig, () => flush(rig))
  await chaos('kill -9 of the writer', rig, () => kill(rig, rig.machine.writer().name), TAKEOVER_MS)
  await chaos('kill -STOP of the writer, 15 s, -CONT', rig, () => standStill(rig), TAKEOVER_MS)
  await chaos('kill -9 postgres', rig, () => kill(rig, 'postgres'))
})
console.log('== one of each class: what dies is started again')
await withMachine('sync=1,router=1,writer=1', { clients: 6, rooms: 3, paceMs: 150 }, async (rig) => {
  for (const name of ['sync-1', 'router-1', 'writer-1']) await chaos(`kill -9 ${name}`, rig, () => kill(rig, name))
})
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)

async function withMachine(
  replicas: string,
  load: { readonly clients: number; readonly rooms: number; readonly paceMs: number },
  run: (rig: Rig) => Promise<void>,
): Promise<void> {
  const machine = await Machine.start(replicas)
  try {
    await run({ machine, load: await SteadyLoad.start({ urls: machine.urls, ...load }) })
  } catch (error) {
    check('the load begins', [machine.tail(), String(error)])
  } finally {
    await machine.stop()
  }
}

/** One case: the fault, the recovery, and what everybody has then. */
async function chaos(name: string, { machine, load }: Rig, fault: () => Promise<Outcome>, takeoverMs?: number): Promise<void> {
  const before = load.acknowledged
  try {
    const { recovery, faults = [] } = await fault()
    const { firstSend, everySend, everySync } = recovery
    console.log(
      `   ${name}: first send after ${ms(firstSend)}, every client's after ${ms(everySend)}, seen by every /sync after ${ms(everySync)}`,
    )
    await new Promise((resolve) => setTimeout(resolve, AFTERWARDS_MS))
    await load.recovery(performance.now())
    if (takeoverMs !== undefined) check(`${name}: sends succeed within ${ms(takeoverMs)}`, firstSend <= takeoverMs ? [] : [ms(firstSend)])
    check(`${name}: all is there once, in one order, for everybody`, [...faults, ...(await load.faults()), ...machine.bugs()])
    console.log(`   ${load.acknowledged - before} messages acknowledged; tries repeated: ${load.counts}`)
    load.counts.retried.clear()
  } catch (error) {
    check(name, [machine.tail(), String(error)])
  }
}

async function kill({ machine, load }: Rig, name: string): Promise<Outcome> {
  const pid = machine.pid(name)
  process.kill(pid, 'SIGKILL')
  const recovery = await load.recovery(performance.now())
  await machine.replaced(name, pid)
  return { recovery }
}

async function flush({ machine, load }: Rig): Promise<Outcome> {
  const redis = machine.redis()
  await redis.flushall()
  const recovery = await load.recovery(performance.now())
  redis.disconnect()
  return { recovery }
}

/** The writer stands still; when it goes on it finds mail that it must not deliver, and stands by. */
async function standStill({ machine, load }: Rig): Promise<Outcome> {
  const { pid, instance } = machine.writer()
  const mail = await StaleMail.prepare(machine, instance)
  const since = performance.now()
  process.kill(pid, 'SIGSTOP')
  const recovery = await load.recovery(since)
  mail.post()
  await new Promise((resolve) => setTimeout(resolve, STOPPED_MS - (performance.now() - since)))
  process.kill(pid, 'SIGCONT')
  const goesOn = await load.recovery(performance.now())
  console.log(`   it goes on: first send after ${ms(goesOn.firstSend)}, seen by every /sync after ${ms(goesOn.everySync)}`)
  await machine.standsBy(instance)
  return { recovery, faults: await mail.faults() }
}

function check(what: string, faults: readonly string[]): void {
  if (faults.length === 0) passed++
  else failed++
  console.log(`${faults.length === 0 ? 'ok  ' : 'FAIL'} ${what}`)
  for (const fault of faults.slice(0, 20)) console.log(`     ${fault}`)
  if (faults.length > 20) console.log(`     and ${faults.length - 20} more`)
}

function ms(value: number): string {
  return `${Math.round(value)} ms`
}
