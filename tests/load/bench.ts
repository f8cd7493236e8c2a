import { existsSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Bar, type BarName, bars, type Figures, singleBars, splitBars } from './bars.ts'

/** `pnpm bench [--save]`: every performance bar of every issue so far, beside the last committed figures. */
const file = join(import.meta.dirname, '..', '..', 'docs', 'bench', 'figures.json')
const last: Figures = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).figures : {}

const figures: Figures = { ...(await singleBars()), ...(await splitBars()) }

const rows = (Object.entries(bars) as Array<[BarName, Bar]>).map(([key, bar]) => {
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
  await writeFile(file, `${JSON.stringify({ taken: new Date().toISOString().slice(0, 10), figures }, undefined, 2)}\n`)
}
process.exit(rows.some((row) => row[5] === 'MISSED') ? 1 : 0)

function shown(value: number | undefined, unit: string): string {
  if (value === undefined) return '–'
  return `${value >= 100 ? Math.round(value) : Number(value.toFixed(value < 1 ? 3 : 2))}${unit === '' ? '' : ` ${unit}`}`
}
