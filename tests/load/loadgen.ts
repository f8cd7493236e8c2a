import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './paths.ts'

const run = promisify(execFile)
/** The load generator and the peers stand beside the repository, as in this project's workplaces. */
export const shared = process.env.WEFT_SHARED ?? join(root, '..', 'shared')
/** Scenarios of our own, compiled into the generator. */
const additions = join(import.meta.dirname, 'loadgen')

/** A server under load, whichever it is. */
export interface Target {
  readonly base: string
  /** Where reports may be written. */
  readonly folder: string
  /** What the load generator's -procstat takes: all processes that serve, PostgreSQL and Redis included. */
  procstat(): string
}

export interface Latency {
  readonly p50_ms: number
  readonly p95_ms: number
}

/** What a server did not do that it had promised. */
interface Losses {
  readonly lost?: number
  readonly missed?: number
  readonly duplicates?: number
}

/** A report of the load generator, as far as the bench reads it. */
export interface Report {
  readonly ok: boolean
  readonly result: {
    readonly events_per_second?: number
    readonly latency?: Latency
    readonly history?: Losses
    readonly delivery?: Losses
  }
  readonly work: Record<string, number>
  readonly processes: Record<string, { readonly cpu_seconds: number; readonly cpu_ms_per: Record<string, number> }>
  readonly problems?: readonly string[]
}

/** How many were lost, missed or doubled. @throws Error where the report does not say */
export function losses(of: Losses | undefined): number {
  const gone = of?.lost ?? of?.missed
  if (of === undefined || gone === undefined || of.duplicates === undefined) throw new Error('the report does not tell what was lost')
  return gone + of.duplicates
}

/** Runs a scenario of ../shared/loadgen or of ./loadgen, built on first use. */
export async function loadgen(scenario: string, target: Target, args: readonly string[]): Promise<Report> {
  const program = await built()
  const out = join(target.folder, `${scenario}.json`)
  const flags = ['-base', target.base, '-procstat', target.procstat(), '-json', out, ...args]
  await rm(out, { force: true })
  // The table on stderr is for people who run it by hand; the exit code says what the report says too.
  await run(program, [scenario, ...flags]).catch((error: unknown) => {
    if (!existsSync(out)) throw error
  })
  const report = JSON.parse(readFileSync(out, 'utf8')) as Report & { failure?: string }
  if (report.failure !== undefined) throw new Error(`${scenario} could not be carried out: ${report.failure}`)
  return report
}

async function built(): Promise<string> {
  const files = readdirSync(additions).filter((file) => file.endsWith('.go'))
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(join(additions, file)))
  const program = join(root, '.cache', `loadgen-${hash.digest('hex').slice(0, 12)}`)
  if (existsSync(program)) return program
  const overlay = `${program}.overlay.json`
  const replace = Object.fromEntries(files.map((file) => [join(shared, 'loadgen', file), join(additions, file)]))
  await writeFile(overlay, JSON.stringify({ Replace: replace }))
  await run('go', ['build', '-overlay', overlay, '-o', program, '.'], { cwd: join(shared, 'loadgen') })
  return program
}

/** The sequential latency probe of ../shared/peers. */
export async function probe(target: Target): Promise<{ send: { median: number }; wake_send: { median: number } }> {
  const program = join(shared, 'peers', 'probe.py')
  const { stdout } = await run('python3', [program, target.base, '--sends', '300', '--wakes', '150'])
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}

/** CPU milliseconds of all processes of the server, PostgreSQL and Redis for one unit of work. */
export function cpuPer(report: Report, unit: string): number {
  return Object.values(report.processes).reduce((sum, group) => sum + (group.cpu_ms_per[unit] ?? 0), 0)
}
