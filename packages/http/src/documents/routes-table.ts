import type { Registry } from '../registry.ts'
import { routesOf } from './routes.ts'

/** The table of `weft routes`: every route in the order of matching, in columns for a terminal. */
export function renderRoutesTable(registry: Registry): string {
  const rows = routesOf(registry).map(({ endpoint, template }) => [
    endpoint.method,
    template.text,
    endpoint.servedBy.join(','),
    endpoint.affinity,
    endpoint.rateLimit ?? '-',
    endpoint.id,
  ])
  const table = [['METHOD', 'PATH', 'SERVED BY', 'AFFINITY', 'RATE LIMIT', 'ENDPOINT'], ...rows]
  const widths = table.reduce<number[]>((widest, row) => row.map((cell, i) => Math.max(cell.length, widest[i] ?? 0)), [])
  return table
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}
