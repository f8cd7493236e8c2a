import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OperatorError } from '@weft/kernel'

/** A setting without effect on PostgreSQL: it leaves our process id in the server's command line, for us to find. */
export const ownerSetting = 'weft.owner'

interface RunningServer {
  readonly pid: number
  readonly parent: number
  /** The process that started it; undefined where that was not us. */
  readonly owner: number | undefined
}

/**
 * Frees a data folder from a server whose weft is dead, and from the lock file that a dead server left behind.
 * @throws Error where a living process owns the folder
 */
export async function clearOrphan(dataDir: string, log?: { warn(fields: object, message: string): void }): Promise<void> {
  const lockFile = join(dataDir, 'postmaster.pid')
  const pid = await pidIn(lockFile)
  if (pid === undefined) return
  const server = await runningServer(pid, dataDir)
  if (server === undefined) {
    // PostgreSQL only looks whether the process id is taken, and in a container the next start often has taken it.
    await rm(lockFile, { force: true })
    return
  }
  if (server.owner === undefined) {
    throw new OperatorError(`${dataDir} is in use by a PostgreSQL server that weft did not start (process ${pid}). Stop it first.`)
  }
  if (server.owner === server.parent) {
    throw new OperatorError(
      `${dataDir} is in use by another weft (process ${server.owner}). Stop it first, or give this one another data folder.`,
    )
  }
  log?.warn({ pid, owner: server.owner }, 'stopping the PostgreSQL server that a killed weft left behind')
  await endServer(pid, dataDir)
}

/** Stops a server that is not our child: fast, and after 10 s at once. */
async function endServer(pid: number, dataDir: string): Promise<void> {
  process.kill(pid, 'SIGINT')
  const deadline = performance.now() + 10_000
  let urged = false
  while ((await runningServer(pid, dataDir)) !== undefined) {
    if (performance.now() > deadline) {
      if (urged) throw new OperatorError(`the PostgreSQL server with process id ${pid} does not end: end it by 'kill -9 ${pid}'.`)
      urged = true
      process.kill(pid, 'SIGQUIT')
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function pidIn(lockFile: string): Promise<number | undefined> {
  try {
    const pid = Number.parseInt(await readFile(lockFile, 'utf8'), 10)
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw err
  }
}

async function runningServer(pid: number, dataDir: string): Promise<RunningServer | undefined> {
  let words: string[]
  let stat: string
  try {
    words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
    stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw err
  }
  // The name in parentheses may hold spaces: state and parent come after the last one.
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (state === 'Z' || !words[0]?.endsWith('postgres') || words[words.indexOf('-D') + 1] !== dataDir) return undefined
  const owner = words.find((word) => word.startsWith(`${ownerSetting}=`))?.slice(ownerSetting.length + 1)
  return { pid, parent: Number(parent), owner: owner === undefined ? undefined : Number(owner) }
}
