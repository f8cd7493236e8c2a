/**
 * README's promise on a clean clone of what is committed (issue 3, bar 1): `npm start` and `npm start -- --split` answer, the first time
 * and again, and Ctrl-C ends all of it; as this user and, where that is root, as an unprivileged one.
 * `node tests/load/first-start.ts [--quick]`: quick leaves root's turn out. Ends with a line that .ci/run counts.
 */
import { BareMachine, type StartTimes } from './bare-machine.ts'

/** `nobody`, on every Linux. */
const UNPRIVILEGED = 65534

export interface FirstStart {
  readonly first: StartTimes
  readonly second: StartTimes
  readonly firstSplit: StartTimes
  readonly secondSplit: StartTimes
}

/** @throws Error when something does not answer, or still runs when all of it should have ended */
export async function firstStart(uid?: number): Promise<FirstStart> {
  const machine = await BareMachine.make(uid)
  try {
    const first = await machine.start()
    const second = await machine.start()
    const firstSplit = await machine.start(['--split'])
    const secondSplit = await machine.start(['--split', '--replicas', 'sync=2,router=2,writer=2'])
    // The command line on a machine without pnpm.
    machine.run('npm', ['run', '--silent', 'weft', '--', 'check-config'])
    return { first, second, firstSplit, secondSplit }
  } finally {
    await machine.remove()
  }
}

if (import.meta.main) {
  let passed = 0
  let failed = 0
  const root = process.getuid?.() === 0
  const users = [...(root ? [UNPRIVILEGED] : []), ...(root && process.argv.includes('--quick') ? [] : [undefined])]
  for (const uid of users) {
    const starts = await firstStart(uid)
    for (const [name, { answered, ended, left }] of Object.entries(starts) as [string, StartTimes][]) {
      const who = uid === undefined ? 'this user' : `uid ${uid}`
      const fault = left.length === 0 ? '' : ` LEFT BEHIND: ${left.join(', ')}`
      if (left.length === 0) passed++
      else failed++
      process.stdout.write(
        `${who.padEnd(10)} ${name.padEnd(12)} answered after ${answered.toFixed(2)} s, ended within ${ended.toFixed(2)} s${fault}\n`,
      )
    }
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  process.exit(failed === 0 ? 0 : 1)
}
