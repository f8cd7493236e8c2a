import { type ChildProcess, spawn } from 'node:child_process'

// The read ends when the pipe's other end closes, which the kernel does however our process dies.
const script = `
cat >/dev/null
kill -INT "$1" 2>/dev/null
# One that was stopped (SIGSTOP) hears of it then.
kill -CONT "$1" 2>/dev/null
i=0
while kill -0 "$1" 2>/dev/null; do
  i=$((i+1)); [ $i -eq 100 ] && kill -QUIT "$1" 2>/dev/null; [ $i -eq 200 ] && kill -KILL "$1" 2>/dev/null; [ $i -gt 220 ] && break
  sleep 0.1
done
[ -n "$2" ] && rm -rf -- "$2"
exit 0
`

/**
 * A shell that ends the process with this id when our own process dies, by whatever signal.
 * @param remove a folder to delete then (of a test run)
 * @returns call off the watch
 */
export function watchOver(pid: number, remove = ''): () => void {
  const shell: ChildProcess = spawn('/bin/sh', ['-c', script, 'weft-watchdog', String(pid), remove], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.on('error', () => {})
  shell.stdin?.on('error', () => {})
  shell.unref()
  ;(shell.stdin as unknown as { unref?(): void } | null)?.unref?.()
  return () => {
    // SIGKILL to the group: the shell waits for cat, which would see the pipe close and let it go on.
    if (shell.pid !== undefined && shell.exitCode === null && shell.signalCode === null) process.kill(-shell.pid, 'SIGKILL')
  }
}
