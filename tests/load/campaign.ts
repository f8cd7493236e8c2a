import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Campaign, Outcome } from './campaigns/campaign.ts'
import { disk } from './campaigns/disk.ts'
import { million } from './campaigns/million.ts'
import { oracle } from './campaigns/oracle.ts'
import { synapse } from './campaigns/synapse.ts'
import { root } from './paths.ts'

/**
 * `pnpm campaign NAME [--save] [--option value]…`: runs a campaign and prints its figures; with `--save` it also writes
 * docs/campaigns/NAME.md, to be committed. Exit code 0 when everything it shows holds.
 */
const campaigns: Readonly<Record<string, Campaign>> = { oracle, synapse, disk, million }

const [name = '', ...rest] = process.argv.slice(2)
const campaign = Object.hasOwn(campaigns, name) ? campaigns[name] : undefined
if (campaign === undefined) {
  process.stderr.write(`usage: pnpm campaign ${Object.keys(campaigns).join('|')} [--save] [options]\n`)
  process.exit(2)
}
const options = Object.fromEntries(
  Object.entries(campaign.options).map(([key, value]) => [key, { type: 'string' as const, default: value }]),
)
const { values } = parseArgs({ args: rest, options: { ...options, save: { type: 'boolean', default: false } } })
const { save, ...given } = values as Record<string, string> & { save: boolean }

const began = performance.now()
const outcome = await campaign.run(given)
const text = page(name, campaign, outcome, (performance.now() - began) / 1000)
process.stdout.write(`${text}\n`)
if (save) {
  const folder = join(root, 'docs', 'campaigns')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${name}.md`), text)
}
const failed = outcome.checks.filter(({ ok }) => !ok)
for (const { name } of failed) process.stdout.write(`FAILED ${name}\n`)
process.stdout.write(`${outcome.checks.length - failed.length} passed, ${failed.length} failed\n`)
process.exit(failed.length === 0 ? 0 : 1)

function page(title: string, { about }: Campaign, { figures, checks }: Outcome, seconds: number): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' and changes on top of it'
  const command = ['pnpm campaign', title, ...rest].join(' ')
  return [
    `# Campaign: ${title}`,
    '',
    about,
    '',
    `- date: ${new Date().toISOString().slice(0, 10)}, ${Math.round(seconds)} s`,
    `- commit: ${git('rev-parse', '--short=12', 'HEAD')}${changed}`,
    `- machine: ${cpus().length} × ${cpus()[0]?.model.trim() ?? arch()}, Node ${process.version}`,
    `- command: \`${command}\``,
    `- outcome: ${checks.every(({ ok }) => ok) ? 'holds' : '**does not hold**'}`,
    '',
    figures,
    '',
  ].join('\n')
}
