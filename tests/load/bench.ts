import { generateKeyPairSync, sign } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Bar, type BarName, bars, type Figures, forkBars, largeRoomBars, singleBars, splitBars, startBars } from './bars.ts'

/**
 * `pnpm bench [GROUP…] [--save]`: every performance bar of every issue so far, or those of some groups, beside the last committed
 * figures.
 */
const groups: Readonly<Record<string, () => Promise<Figures>>> = {
  start: startBars,
  single: singleBars,
  split: splitBars,
  forks: forkBars,
  'large-room': largeRoomBars,
}
const wanted = process.argv.slice(2).filter((argument) => argument !== '--save')
const unknown = wanted.filter((name) => !Object.hasOwn(groups, name))
if (unknown.length > 0) {
  process.stderr.write(`usage: pnpm bench [${Object.keys(groups).join('|')}]… [--save]\n`)
  process.exit(2)
}

const file = join(import.meta.dirname, '..', '..', 'docs', 'bench', 'figures.json')
const last: Figures = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).figures : {}

/** CPU of one ed25519 signature on the machine whose floors PLATFORM.md gives: 49,000 a second. */
const REFERENCE_SIGN_US = 1e6 / 49_000
const signUs = signatureMicroseconds()
process.stdout.write(
  `An ed25519 signature costs ${signUs.toFixed(0)} µs here, ${(signUs / REFERENCE_SIGN_US).toFixed(1)} times what it does on the machine that the bars were set on.\n`,
)
const figures: Figures = {}
for (const [name, measure] of Object.entries(groups))
  if (wanted.length === 0 || wanted.includes(name)) Object.assign(figures, await measure())

const shownBars = (Object.entries(bars) as Array<[BarName, Bar]>).filter(([key]) => wanted.length === 0 || figures[key] !== undefined)
const rows = shownBars.map(([key, bar]) => {
  const figure = figures[key]
  const before = last[key]
  const verdict =
    figure === undefined
      ? 'not run'
      : figure > bar.limit
        ? 'MISSED'
        : before !== undefined && figure > before * 1.1 + 0.005
          ? 'worse'
          : 'ok'
  return [bar.issue, bar.name, shown(figure, bar.unit), shown(bar.limit, bar.unit), shown(before, bar.unit), verdict]
})
const table = [['issue', 'bar', 'now', 'at most', 'committed', ''], ...rows]
const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
for (const row of table)
  process.stdout.write(`${row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}\n`)

if (process.argv.includes('--save')) {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(
    file,
    `${JSON.stringify({ taken: new Date().toISOString().slice(0, 10), signUs: Math.round(signUs), figures: { ...last, ...figures } }, undefined, 2)}\n`,
  )
}
process.exit(rows.some((row) => row[5] === 'MISSED') ? 1 : 0)

/** The median of five batches: CPU time, so that other processes count for little. */
function signatureMicroseconds(): number {
  const { privateKey } = generateKeyPairSync('ed25519')
  const message = Buffer.alloc(600, 'a')
  const batches = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage()
    for (let i = 0; i < 3000; i++) sign(null, message, privateKey)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 3000
  })
  return batches.toSorted((a, b) => a - b)[2] as number
}

function shown(value: number | undefined, unit: string): string {
  if (value === undefined) return '–'
  return `${value >= 100 ? Math.round(value) : Number(value.toFixed(value < 1 ? 3 : 2))}${unit === '' ? '' : ` ${unit}`}`
}
