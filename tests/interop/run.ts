/**
 * Conversations through real client libraries against a server from the command line, in both layouts: `bash tests/interop/run.sh`.
 * The last line is `N passed, N failed` over all steps; one that is not reached counts as failed.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureVenv } from '../load/venv.ts'
import { type ClientProgram, converse, stepsOf } from './client-program.ts'
import { Server } from './server.ts'
import { Tally } from './tally.ts'

const LAYOUTS = { single: [], split: ['--split', '--replicas', 'sync=2'] } as const
const here = import.meta.dirname

const { values } = parseArgs({ options: { layout: { type: 'string' }, client: { type: 'string' } } })
const tally = new Tally()
const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.abort())

const plans = await planned([
  { name: 'matrix-js-sdk', make: () => [process.execPath, '--disable-warning=ExperimentalWarning', join(here, 'js-sdk.ts')] },
  { name: 'matrix-nio', make: async () => [await nioPython(), '-B', join(here, 'nio_client.py')] },
])
const layouts = Object.entries(LAYOUTS).filter(([name]) => values.layout === undefined || values.layout === name)
for (const [layout] of layouts) {
  tally.plan([...serverSteps(layout), ...plans.flatMap(({ program, steps }) => steps.map((step) => `${layout}, ${program.name}, ${step}`))])
}
for (const [layout, args] of layouts) {
  if (stop.signal.aborted) break
  await inLayout(layout, args)
}
process.exit(tally.finish() ? 0 : 1)

function serverSteps(layout: string): [starts: string, silent: string, ends: string] {
  return [`${layout}: weft start answers`, `${layout}: nothing is logged at level error`, `${layout}: it ends and leaves nothing running`]
}

async function inLayout(layout: string, args: readonly string[]): Promise<void> {
  const [starts, silent, ends] = serverSteps(layout)
  let server: Server
  try {
    server = await Server.start(args)
    tally.pass(starts)
  } catch (error) {
    tally.fail(starts, error instanceof Error ? error.message : String(error))
    return
  }
  for (const { program } of plans) {
    let failed = false
    const said = await converse(program, server.url, stop.signal, ({ step, why }) => {
      const name = `${layout}, ${program.name}, ${step}`
      if (why === undefined) return tally.pass(name)
      failed = true
      tally.fail(name, why)
    })
    if (said !== '') process.stdout.write(`--- what ${program.name} said:\n${said}\n`)
    if (failed) process.stdout.write(`--- the end of the log of ${layout}:\n${server.tail()}\n---\n`)
  }
  const problems = await server.stop()
  const errors = server.errors()
  if (errors.length === 0) tally.pass(silent)
  else tally.fail(silent, `\n${errors.slice(0, 20).join('\n')}`)
  if (problems.length === 0) tally.pass(ends)
  else tally.fail(ends, `${problems.join(', ')}\n${server.tail()}`)
}

interface Plan {
  readonly program: ClientProgram
  readonly steps: readonly string[]
}

/** The programs that can run here, with their steps; one that cannot counts as a failed step. */
async function planned(
  programs: readonly { readonly name: string; readonly make: () => ClientProgram['command'] | Promise<ClientProgram['command']> }[],
): Promise<Plan[]> {
  const plans: Plan[] = []
  for (const { name, make } of programs) {
    if (values.client !== undefined && values.client !== name) continue
    try {
      const program = { name, command: await make() }
      plans.push({ program, steps: await stepsOf(program) })
    } catch (error) {
      const step = `${name} can be run`
      tally.plan([step])
      tally.fail(step, error instanceof Error ? error.message : String(error))
    }
  }
  return plans
}

async function nioPython(): Promise<string> {
  return join(await ensureVenv('nio', join(here, 'requirements.txt')), 'bin', 'python')
}
