import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A folder of prisma/migrations. */
export interface Migration {
  /** The folder's name: `<14 digits>_<what>`, `<14 digits>_breaking_<what>` where older releases cannot run on the result. */
  readonly name: string
  readonly text: string
  /** SHA-256 of migration.sql in hex, as Prisma computes it. */
  readonly checksum: string
}

const folderName = /^\d{14}_\w+$/

/** The migrations of a Prisma folder, in order. */
export async function readMigrations(dir: string): Promise<Migration[]> {
  const entries = await readdir(dir, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  const bad = names.find((name) => !folderName.test(name))
  if (bad !== undefined) throw new Error(`${join(dir, bad)}: a migration's folder is named <14 digits>_<what>`)
  return await Promise.all(
    names.sort().map(async (name) => {
      const bytes = await readFile(join(dir, name, 'migration.sql'))
      return { name, text: bytes.toString('utf8'), checksum: createHash('sha256').update(bytes).digest('hex') }
    }),
  )
}

/**
 * True for a migration after which releases that do not know it cannot run. The name says so, because the name is all
 * that an older release finds in the database, whoever applied the migration.
 */
export function isBreaking(name: string): boolean {
  return /^\d{14}_breaking_/.test(name)
}
