/** How long one step may take, in ms. Each thing that it waits for has an earlier deadline, with a better message. */
const STEP_MS = 60_000

/**
 * A part of a conversation: its steps by name, in their order. Each depends on those before it, so that the first that fails ends the
 * part. What later parts need is in the cast, which every step gets.
 */
export type Part<C> = Readonly<Record<string, (cast: C) => Promise<void> | void>>
export type Parts<C> = Readonly<Record<string, Part<C>>>

/** The steps as `PART: NAME`, one a line. */
export function listSteps(parts: Parts<never>): string[] {
  return Object.entries(parts).flatMap(([part, steps]) => Object.keys(steps).map((name) => `${part}: ${name}`))
}

/**
 * Runs the parts of a conversation and prints a line a step that it comes to: `ok PART: NAME` or `FAILED PART: NAME: WHY`.
 * @param founding parts without which no other makes sense
 */
export async function runParts<C>(parts: Parts<C>, cast: C, founding: readonly string[]): Promise<void> {
  for (const [part, steps] of Object.entries(parts)) {
    for (const [name, act] of Object.entries(steps)) {
      try {
        await inTime(act, cast)
        line(`ok ${part}: ${name}`)
      } catch (error) {
        line(`FAILED ${part}: ${name}: ${error instanceof Error ? error.message : String(error)}`)
        if (error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`)
        if (founding.includes(part)) return
        break
      }
    }
  }
}

async function inTime<C>(act: (cast: C) => Promise<void> | void, cast: C): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${STEP_MS} ms`)), STEP_MS)
  })
  try {
    await Promise.race([act(cast), late])
  } finally {
    clearTimeout(timer)
  }
}

function line(text: string): void {
  process.stdout.write(`${text.replaceAll('\n', ' ')}\n`)
}
