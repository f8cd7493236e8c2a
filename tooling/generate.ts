/** Writes what is derived from code: `pnpm generate`. With --check writes nothing and fails where a file is not what it would write. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { registry } from '@weft/api'
import { renderSampleConfig } from '@weft/kernel'
import { documents } from '../apps/weft/src/documents.ts'
import { clientServerOperations, coverageOf, renderCoverage } from './spec-coverage.ts'

export interface GeneratedFile {
  /** Relative to the root. */
  readonly file: string
  render(): Promise<string> | string
}

/** No secret stands in it that anybody might keep: `weft generate-config` makes the file that is used. */
const sample: GeneratedFile = {
  file: 'deploy/homeserver.sample.yaml',
  render: () =>
    renderSampleConfig({
      serverName: 'example.org',
      values: {
        internal_secret: 'REPLACE_ME',
        registration_shared_secret: 'REPLACE_ME',
        signing_key_path: 'example.org.signing.key',
      },
    }),
}

const coverage: GeneratedFile = {
  file: 'docs/spec-coverage.md',
  render: () => renderCoverage(coverageOf(registry, clientServerOperations())),
}

export const generatedFiles: readonly GeneratedFile[] = [...documents, sample, coverage]

/** What is there and what should be, for each file where the two differ. */
export async function outdated(root: string, files: readonly GeneratedFile[]): Promise<{ file: string; text: string; present?: string }[]> {
  const differing = []
  for (const { file, render } of files) {
    const text = `${(await render()).trimEnd()}\n`
    const path = join(root, file)
    const present = existsSync(path) ? await readFile(path, 'utf8') : undefined
    if (present !== text) differing.push({ file, text, present })
  }
  return differing
}

/** `line 12 is "…" and should be "…"` */
export function firstDifference(present: string | undefined, text: string): string {
  if (present === undefined) return 'is not there'
  const [is, should] = [present.split('\n'), text.split('\n')]
  const at = should.findIndex((line, index) => line !== is[index])
  if (at === -1) return `goes on after line ${should.length}`
  return `line ${at + 1} is ${JSON.stringify(is[at] ?? '(the end)')} and should be ${JSON.stringify(should[at])}`
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, '..')
  const differing = await outdated(root, generatedFiles)
  if (process.argv.includes('--check')) {
    for (const { file, text, present } of differing) process.stdout.write(`${file}: ${firstDifference(present, text)}\n`)
    if (differing.length > 0) {
      process.stdout.write('Not what the code says: run `pnpm generate` and commit.\n')
      process.exitCode = 1
    }
  } else {
    for (const { file, text } of differing) {
      await mkdir(dirname(join(root, file)), { recursive: true })
      await writeFile(join(root, file), text)
      process.stdout.write(`wrote ${file}\n`)
    }
  }
}
