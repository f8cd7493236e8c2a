import { createHash } from 'node:crypto'
import { chown, mkdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { OperatorError } from '@weft/kernel'
import { type Account, postgresUid, requireReachable } from './account.ts'
import { majorVersion, type PostgresBinaries } from './binaries.ts'
import { run } from './run.ts'

export interface DataFolder {
  readonly binaries: PostgresBinaries
  /** Absolute. */
  readonly dataDir: string
  readonly account: Account | undefined
  readonly fsync: boolean
}

/**
 * Makes sure that the folder holds a data directory of this PostgreSQL, creating it where there is none.
 * @returns the major version
 * @throws Error where it is another major version's, or out of the account's reach
 */
export async function prepareDataFolder({ binaries, dataDir, account, fsync }: DataFolder): Promise<number> {
  const parent = dirname(dataDir)
  await mkdir(parent, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new OperatorError(`the data folder ${parent} cannot be made: ${error.message}`, { cause: error })
  })
  if (account !== undefined) {
    await requireReachable(dirname(binaries.postgres), account, 'the folder of the PostgreSQL programs')
    await requireReachable(parent, account, 'the data folder')
  }
  const major = await majorVersion(binaries)
  await requireOwner(dataDir, account)
  const found = await versionOf(dataDir)
  if (found === undefined) await initialise({ binaries, dataDir, account, fsync })
  else if (found !== String(major)) {
    throw new OperatorError(
      `${dataDir} was made by PostgreSQL ${found}, and this release of weft brings PostgreSQL ${major}. ` +
        `Ways out: run PostgreSQL ${found} on the folder and name it under 'database' in homeserver.yaml; or copy it over with ` +
        `pg_dump of version ${major} from there and psql into a new folder; or, where nothing in it matters, move the folder away.`,
    )
  }
  return major
}

/**
 * A folder for the server's unix socket that only its account may enter.
 * The path of a socket has at most 107 bytes, so a deep data folder gets one in the temporary folder.
 */
export async function prepareSocketFolder(dataDir: string, account: Account | undefined): Promise<string> {
  const folder = socketFolder(dataDir)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { uid, mode } = await stat(folder)
  const wanted = account?.uid ?? process.getuid?.()
  // Anyone may have made the one in the temporary folder: everybody who can enter it can connect.
  if ((uid !== wanted && uid !== process.getuid?.()) || (mode & 0o077) !== 0) {
    throw new OperatorError(`${folder} must belong to uid ${wanted} alone (mode 0700). Remove it and start again.`)
  }
  if (account !== undefined) await chown(folder, account.uid, account.gid)
  return folder
}

/** @param dataDir absolute */
export function socketFolder(dataDir: string): string {
  const beside = join(dirname(dataDir), 'postgres-socket')
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 12)
  return Buffer.byteLength(beside) <= 90 ? beside : join(tmpdir(), `weft-${name}`)
}

/** Makes the data directory under another name first: a folder that has its name is complete. */
async function initialise({ binaries, dataDir, account, fsync }: DataFolder): Promise<void> {
  const unfinished = `${dataDir}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished, { mode: 0o700 })
  if (account !== undefined) await chown(unfinished, account.uid, account.gid)
  const args = ['-D', unfinished, '-U', 'postgres', '--auth=trust', '--locale=C', '--encoding=UTF8', '--no-instructions']
  await run(binaries.initdb, fsync ? args : [...args, '--no-sync'], { ...account, cwd: '/' }).catch((error: unknown) => {
    if (!(error instanceof Error && /could not look up effective user ID/.test(error.message))) throw error
    const uid = account?.uid ?? process.getuid?.()
    throw new OperatorError(
      `PostgreSQL refuses to run as uid ${uid}, which has no name on this machine. Ways out: add a line such as ` +
        `'weft:x:${uid}:${uid}::/:/bin/false' to /etc/passwd; or start weft as another user; or run PostgreSQL elsewhere and name it ` +
        `under 'database' in homeserver.yaml.`,
      { cause: error },
    )
  })
  await rename(unfinished, dataDir)
}

/** PostgreSQL only takes a folder of its own account: one that weft made as root is another's than one it made as an ordinary user. */
async function requireOwner(dataDir: string, account: Account | undefined): Promise<void> {
  const owner = await stat(dataDir).then(
    ({ uid }) => uid,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    },
  )
  const wanted = account?.uid ?? process.getuid?.()
  if (owner === undefined || owner === wanted) return
  throw new OperatorError(
    `${dataDir} belongs to uid ${owner}, and PostgreSQL would now run as uid ${wanted}. ` +
      `Ways out: start weft as ${owner === postgresUid ? 'root' : `uid ${owner}`}, as before; or give the folder over by 'chown -R ${wanted} ${dataDir}'.`,
  )
}

async function versionOf(dataDir: string): Promise<string | undefined> {
  try {
    return (await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim()
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw err
  }
}
