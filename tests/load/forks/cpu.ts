import { readdirSync, readFileSync } from 'node:fs'

/** CPU seconds that processes and all they started have used, those of them that have ended included. */
export function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuOfFamily(pid), 0)
}

function cpuOfFamily(pid: number): number {
  let text: string
  const children: number[] = []
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const listed = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim()
      if (listed !== '') children.push(...listed.split(' ').map(Number))
    }
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch (error) {
    // It ended meanwhile; its parent has counted it by now.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return 0
    throw error
  }
  const fields = (text.split(') ')[1] as string).split(' ')
  // utime, stime, and those of children that were waited for.
  const own = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0) / 100
  return children.reduce((sum, child) => sum + cpuOfFamily(child), own)
}
