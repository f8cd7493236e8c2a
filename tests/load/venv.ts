import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './paths.ts'

const run = promisify(execFile)

/**
 * A virtual environment of Python under .cache with exactly what files of pinned requirements list, made on first use and made
 * again when a list changes.
 * @param requirements files with all packages, those that others need included: nothing else is installed
 * @returns its folder
 */
export async function ensureVenv(name: string, ...requirements: readonly string[]): Promise<string> {
  const folder = join(root, '.cache', `venv-${name}`)
  const stamp = join(folder, 'installed')
  const wanted = createHash('sha256')
    .update(requirements.map((file) => readFileSync(file, 'utf8')).join())
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return folder
  process.stderr.write(`weft: installing ${requirements.join(' and ')} into ${folder}\n`)
  await rm(folder, { recursive: true, force: true })
  await run('python3', ['-m', 'venv', folder])
  await run(join(folder, 'bin', 'pip'), ['install', '--quiet', '--no-deps', ...requirements.flatMap((file) => ['--requirement', file])])
  await writeFile(stamp, wanted)
  return folder
}
