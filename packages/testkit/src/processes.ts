import { readdirSync, readFileSync } from 'node:fs'

/** False for a process that has ended, also where nobody has asked for its exit code yet. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z')
  } catch {
    // The kernel has no entry for a process that is gone.
    return false
  }
}

/** The process that watches over an embedded server (packages/storage/src/embedded/watchdog.ts). @throws Error where there is none */
export function watchdogOf(serverPid: number): number {
  for (const [pid, words] of commandLines()) if (words.includes('weft-watchdog') && words.includes(String(serverPid))) return pid
  throw new Error('no watchdog')
}

/** The words of the command line of each process of this machine. */
export function* commandLines(): Generator<[pid: number, words: string[]]> {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      yield [Number(name), readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0')]
    } catch {
      // It ended meanwhile.
    }
  }
}
