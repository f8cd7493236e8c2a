import { readdirSync, readFileSync } from 'node:fs'

/** A process of this machine, by /proc. Where that is missing, there are none to be seen. */
export interface Process {
  readonly pid: number
  readonly name: string
  /** When it was started, in the kernel's ticks: a later process may get its number. */
  readonly started: string
}

/** What a process has started, and what that has. */
export function descendants(pid: number): Process[] {
  return list(`/proc/${pid}/task`)
    .flatMap((task) => (read(`/proc/${pid}/task/${task}/children`) ?? '').split(' ').filter(Boolean))
    .flatMap((child) => [...processOf(Number(child)), ...descendants(Number(child))])
}

/** Processes with a path in their command line: what a server that was killed leaves behind is nobody's child here. */
export function naming(path: string): Process[] {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/cmdline`)?.includes(path))
    .flatMap((pid) => processOf(Number(pid)))
}

export function isRunning({ pid, started }: Process): boolean {
  return processOf(pid)[0]?.started === started
}

/** The process of a number; none when it is gone, or only waits to be collected. */
function processOf(pid: number): [] | [Process] {
  const stat = read(`/proc/${pid}/stat`)
  const name = read(`/proc/${pid}/comm`)
  if (stat === undefined || name === undefined) return []
  // The name before these fields stands in brackets and may hold any character.
  const [state, ...fields] = (stat.split(') ').at(-1) as string).split(' ')
  return state === 'Z' ? [] : [{ pid, name: name.trim(), started: fields[18] as string }]
}

/** Processes come and go while they are looked at. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
