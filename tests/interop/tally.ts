/** Counts the steps that were planned: one that is never reported counts as failed. */
export class Tally {
  readonly #open = new Set<string>()
  #passed = 0
  readonly #failed: string[] = []

  plan(steps: Iterable<string>): void {
    for (const step of steps) this.#open.add(step)
  }

  pass(step: string): void {
    this.#close(step)
    this.#passed++
    process.stdout.write(`ok ${step}\n`)
  }

  fail(step: string, why: string): void {
    this.#close(step)
    this.#failed.push(step)
    process.stdout.write(`FAILED ${step}: ${why}\n`)
  }

  /** Ends the count with the line that .ci/run reads. @returns whether all is well */
  finish(): boolean {
    for (const step of this.#open) {
      this.#failed.push(step)
      process.stdout.write(`not reached: ${step}\n`)
    }
    this.#open.clear()
    process.stdout.write(`\n${this.#passed} passed, ${this.#failed.length} failed\n`)
    return this.#passed > 0 && this.#failed.length === 0
  }

  /** Ends the count where none of the steps can be taken on this machine. */
  skip(why: string): false {
    process.stdout.write(`SKIPPED: ${why}\n\n0 passed, 0 failed, ${this.#open.size} skipped\n`)
    return false
  }

  #close(step: string): void {
    if (!this.#open.delete(step)) throw new Error(`a step that was not planned, or twice: ${step}`)
  }
}
