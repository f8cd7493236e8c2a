import { dirname } from 'node:path'
import { OperatorError } from '@weft/kernel'
import { run } from './run.ts'

/** `nobody`, on every Linux. */
export const postgresUid = 65534

/** The user that PostgreSQL runs as: it refuses to be root, so root gives it to `nobody`. Undefined: our own. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

export function postgresAccount(): Account | undefined {
  return process.getuid?.() === 0 ? { uid: postgresUid, gid: postgresUid } : undefined
}

/**
 * Checks that the account can reach a folder, by trying it.
 * @throws Error that names the closed folder and the ways out
 */
export async function requireReachable(folder: string, account: Account, what: string): Promise<void> {
  const path: string[] = []
  for (let at = folder; ; at = dirname(at)) {
    path.unshift(at)
    if (at === dirname(at)) break
  }
  const script = 'for d; do cd "$d" 2>/dev/null || { printf %s "$d"; exit 0; }; done'
  const closed = await run('/bin/sh', ['-c', script, 'sh', ...path], { ...account, cwd: '/' })
  if (closed === '') return
  throw new OperatorError(
    `${what} ${folder} is out of reach: PostgreSQL refuses to run as root, so it runs as uid ${account.uid}, which may not enter ${closed}. ` +
      `Ways out: start weft as an ordinary user; or keep it outside ${closed}; or let others pass with 'chmod o+x ${closed}'.`,
  )
}
