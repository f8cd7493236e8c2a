import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { ConfigProblem } from './error.ts'
import { type ConfigSource, deleteAt, formatPath, type Path, valueAt } from './source.ts'

/** The secrets that a file may hold: each has a `_path` variant. */
const secretSettings: readonly Path[] = [
  ['internal_secret'],
  ['worker_replication_secret'],
  ['registration_shared_secret'],
  ['database', 'url'],
  ['database', 'args', 'password'],
  ['redis', 'url'],
  ['redis', 'password'],
]

/**
 * Puts the contents of `*_path` files, trimmed, in the place of the secrets, and Synapse's `worker_replication_secret` in the place of
 * `internal_secret`. Relative paths count from `baseDir`.
 */
export function readSecretFiles(source: ConfigSource, baseDir: string): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  for (const path of secretSettings) {
    const pathKey: Path = [...path.slice(0, -1), `${path.at(-1)}_path`]
    const file = valueAt(source.values, pathKey)
    if (typeof file !== 'string') continue
    if (valueAt(source.values, path) !== undefined) {
      problems.push(source.problem(pathKey, `is given, and ${formatPath(path)} too`, 'keep one of them'))
      continue
    }
    const found = readSecret(resolve(baseDir, file))
    if (found.ok) move(source, pathKey, path, found.secret)
    else problems.push(source.problem(pathKey, found.message, found.remedy))
  }
  const alias = valueAt(source.values, ['worker_replication_secret'])
  if (alias !== undefined) {
    if (valueAt(source.values, ['internal_secret']) === undefined) move(source, ['worker_replication_secret'], ['internal_secret'], alias)
    else
      problems.push(
        source.problem(
          ['worker_replication_secret'],
          'is given, and internal_secret too',
          "keep internal_secret: the other is Synapse's name for it",
        ),
      )
  }
  return problems
}

function move(source: ConfigSource, from: Path, to: Path, value: unknown): void {
  source.replace(from, to, value)
  deleteAt(source.values, from)
}

function readSecret(file: string): { ok: true; secret: string } | { ok: false; message: string; remedy: string } {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error)
    return {
      ok: false,
      message: `${file} cannot be read: ${reason}`,
      remedy: 'create the file with the secret as its only content, readable for this user only (chmod 600)',
    }
  }
  const secret = text.trim()
  if (secret === '')
    return { ok: false, message: `${file} is empty`, remedy: 'write the secret into the file, for instance by `openssl rand -hex 32`' }
  return { ok: true, secret }
}
