/** Takes finished lines, each with its line end. */
export interface LogOutput {
  write(line: string): void
  /** Hands on at once what is held back. */
  flush(): void
}

/** What `process.stdout` offers of itself here. */
interface Sink {
  write(text: string): unknown
}

/** Bytes after which lines are handed on without waiting for the end of the turn. */
const HELD_AT_MOST = 64 * 1024

/**
 * Hands on the lines of one turn of the event loop together: a write costs several times what a line does, and access lines come by
 * the thousand. Standard output of Node is synchronous on Linux, for files, pipes and terminals, so `flush` leaves nothing behind.
 */
export function gatheredOutput(sink: Sink = process.stdout): LogOutput {
  let held = ''
  let scheduled = false
  const flush = (): void => {
    scheduled = false
    if (held === '') return
    const text = held
    held = ''
    sink.write(text)
  }
  return {
    write(line) {
      held += line
      if (held.length >= HELD_AT_MOST) flush()
      else if (!scheduled) {
        scheduled = true
        setImmediate(flush)
      }
    },
    flush,
  }
}
