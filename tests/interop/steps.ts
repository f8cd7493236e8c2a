/** A part of a conversation: its steps depend on each other, so that the first one that fails ends it. */
export type Part = (step: Step) => Promise<void>
export type Step = <T>(name: string, act: () => Promise<T> | T) => Promise<T>

class StepFailed extends Error {}

/**
 * Runs the parts of a conversation and prints a line a step: `ok NAME` or `FAILED NAME: WHY`, which run.ts counts.
 * @returns whether every step passed
 */
export async function runParts(parts: Readonly<Record<string, Part>>): Promise<boolean> {
  let passed = true
  for (const [part, run] of Object.entries(parts)) {
    const step: Step = async (name, act) => {
      try {
        const result = await act()
        line(`ok ${part}: ${name}`)
        return result
      } catch (error) {
        line(`FAILED ${part}: ${name}: ${messageOf(error)}`)
        if (error instanceof Error && error.stack !== undefined) process.stderr.write(`${error.stack}\n`)
        throw new StepFailed()
      }
    }
    try {
      await run(step)
    } catch (error) {
      passed = false
      if (!(error instanceof StepFailed)) line(`FAILED ${part}: outside of its steps: ${messageOf(error)}`)
    }
  }
  return passed
}

function line(text: string): void {
  process.stdout.write(`${text.replaceAll('\n', ' ')}\n`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
