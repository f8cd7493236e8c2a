import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '../paths.ts'
import { ensureVenv } from '../venv.ts'
import { type Campaign, markdownTable, type Outcome } from './campaign.ts'

/** What compare.py prints of some rooms, by room version. */
interface Compared {
  readonly counts: Readonly<Record<string, Readonly<Record<Count, number>>>>
  /** Each begins with the room version, the seed of its batch and the room's name. */
  readonly differences: ReadonlyArray<readonly unknown[]>
}

const versions = Array.from({ length: 12 }, (_, index) => String(index + 1))
const countNames = ['rooms', 'events', 'allowed', 'refused', 'resolutions', 'contested'] as const
type Count = (typeof countNames)[number]

const run = promisify(execFile)
const folder = join(root, 'packages', 'matrix', 'test', 'oracle')
const requirements = join(folder, 'requirements.txt')
/** Rooms that one pair of processes makes and compares: many beside Python's 2 s of start, few enough to end in time on a busy machine. */
const BATCH = 500

/** Event auth and state resolution of random rooms, beside Synapse's own. */
export const oracle: Campaign = {
  about:
    'Random rooms of all versions, each a DAG with forks and merges and with concurrent changes of power levels, join rules, bans, ' +
    "knocks and memberships: every event's id, content hash, redaction and verdict of auth, and every state resolution, as packages/matrix " +
    'has them and as Synapse has them. How it works, and which differences are known, is in packages/matrix/test/oracle/README.md.',
  options: { dags: '20000', seed: '1' },
  async run({ dags, seed }) {
    const total = Number(dags)
    const python = join(await ensureVenv('synapse-oracle', requirements), 'bin', 'python')
    const cache = join(root, '.cache', 'oracle', sourceHash())
    await mkdir(cache, { recursive: true })
    const found: Compared[] = []
    let next = 0
    const lane = async () => {
      while (next < total) {
        const first = next
        next += BATCH
        found.push(await batch(python, cache, `${seed}:${first}`, Math.min(BATCH, total - first)))
        process.stderr.write(`${found.reduce((sum, one) => sum + sumOf(one, 'rooms'), 0)} of ${total} DAGs\n`)
      }
    }
    await Promise.all(Array.from({ length: availableParallelism() }, lane))
    return report(found, total, seed as string)
  },
}

/** Compares some rooms, or says what was found when the same sources compared them before: a campaign that was cut short goes on. */
async function batch(python: string, cache: string, seed: string, count: number): Promise<Compared> {
  // The generator's seed is 32 bits: hashed, so that neighbouring batches do not run on neighbouring states.
  const number = createHash('sha256').update(seed).digest().readUInt32BE()
  const known = join(cache, `${number}-${count}.json`)
  if (existsSync(known)) return JSON.parse(readFileSync(known, 'utf8')) as Compared
  const file = join(cache, `${number}-${count}.rooms`)
  const options = { maxBuffer: 1 << 30 }
  const { stdout: rooms } = await run(process.execPath, [join(folder, 'rooms.ts'), String(number), String(count)], options)
  await writeFile(file, rooms)
  const { stdout } = await run(python, [join(folder, 'compare.py'), file], options)
  const compared = JSON.parse(stdout) as Compared
  const result = { ...compared, differences: compared.differences.map(([version, ...rest]) => [version, `seed ${number}`, ...rest]) }
  await writeFile(`${known}.new`, JSON.stringify(result))
  await rename(`${known}.new`, known)
  await rm(file)
  return result
}

/** Of everything that a verdict depends on. */
function sourceHash(): string {
  const hash = createHash('sha256')
  for (const directory of [join(root, 'packages', 'matrix', 'src'), folder]) {
    for (const name of readdirSync(directory).sort()) if (/\.(ts|py|txt)$/.test(name)) hash.update(readFileSync(join(directory, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

function sumOf({ counts }: Compared, name: Count, version?: string): number {
  return Object.entries(counts).reduce((sum, [of, figures]) => sum + (version === undefined || of === version ? figures[name] : 0), 0)
}

function report(found: readonly Compared[], wanted: number, seed: string): Outcome {
  const differences = found.flatMap((one) => one.differences)
  const row = (version?: string) => [
    version ?? 'all',
    ...countNames.map((name) => found.reduce((sum, one) => sum + sumOf(one, name, version), 0)),
    differences.filter(([of]) => version === undefined || of === version).length,
  ]
  const rows = [...versions.map((version) => row(version)), row()]
  const head = ['version', 'DAGs', 'events', 'auth: allowed', 'auth: refused', 'resolutions', 'contested', 'differences']
  const shown = differences.slice(0, 20).map((difference) => `    ${JSON.stringify(difference).slice(0, 1000)}`)
  return {
    checks: rows.map(([version, dags, ...figures]) => ({
      name: version === 'all' ? `${wanted} DAGs` : `version ${version}`,
      ok: figures.at(-1) === 0 && (version === 'all' ? dags === wanted : Number(dags) > 0),
    })),
    figures: [`Base seed ${seed}.`, '', markdownTable(head, rows), ...(shown.length === 0 ? [] : ['', ...shown])].join('\n'),
  }
}
