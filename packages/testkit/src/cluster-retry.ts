import { pause, systemClock } from '@weft/kernel'
import { type Answer, ApiError, directSender, type Sender, type SendOptions } from './cluster-client.ts'

/** Tries before a client gives up, as matrix-js-sdk's `calculateRetryBackoff` has it. */
const MAX_TRIES = 5
const FIRST_PAUSE_MS = 1000
/** Between doors that both refuse. */
const DOOR_PAUSE_MS = 250
/** No door let a request in for so long: it is given up. */
const DOORS_SHUT_MS = 60_000

/** What the clients of a test met, and absorbed or not. */
export class RetryCounts {
  /** Tries that were followed by another, by what failed: an HTTP status, or the code of a connection's error. */
  readonly retried = new Map<string, number>()
  /** Requests that were given up, and answers that no retrying helps: a client would show these to its user. */
  readonly notAbsorbed: string[] = []

  note(reason: string): void {
    this.retried.set(reason, (this.retried.get(reason) ?? 0) + 1)
  }

  /** `503: 4, ECONNRESET: 2` */
  toString(): string {
    return [...this.retried].map(([reason, count]) => `${reason}: ${count}`).join(', ') || 'none'
  }
}

/**
 * A sender that knows several doors and retries as matrix-js-sdk does: after a lost connection at the next door, after 5xx and 429
 * when Retry-After says so, or else after 1, 2, 4 and 8 s. Every other answer is the answer. Only for requests that may be repeated.
 * @param counts shared by the clients of a test
 * @param maxTries how often it hears that it should come back, before it gives up
 */
export function retryingSender(urls: readonly string[], counts: RetryCounts, first = 0, maxTries = MAX_TRIES): Sender {
  const doors = urls.map((url) => directSender(url))
  let door = first % doors.length
  return async (method, path, body, options) => {
    const what = `${method} ${path.split('?', 1)[0]}`
    let heardAt = performance.now()
    for (let failures = 0; ; ) {
      const used = door
      const outcome = await attempt(doors[used] as Sender, method, path, body, options)
      if (outcome.answer !== undefined && !isTransient(outcome.answer)) {
        const { status } = outcome.answer
        if (status === 401 || status >= 500) counts.notAbsorbed.push(`${what}: ${JSON.stringify(outcome.answer)}`)
        return outcome.answer
      }
      counts.note(outcome.reason)
      let pauseMs = outcome.answer?.retryAfterMs ?? FIRST_PAUSE_MS * 2 ** failures
      if (outcome.answer === undefined) {
        // Another request of this client may have changed doors already.
        if (door === used) door = (used + 1) % doors.length
        pauseMs = DOOR_PAUSE_MS
      } else {
        failures++
        heardAt = performance.now()
      }
      if (failures >= maxTries || performance.now() - heardAt > DOORS_SHUT_MS) {
        counts.notAbsorbed.push(`${what}: given up after ${outcome.reason}`)
        throw new Error(`${what}: given up after ${outcome.reason}`)
      }
      await pause(systemClock, pauseMs, options.signal)
      options.signal?.throwIfAborted()
    }
  }
}

interface Outcome {
  readonly answer: Answer | undefined
  readonly reason: string
}

async function attempt(send: Sender, method: string, path: string, body: unknown, options: SendOptions): Promise<Outcome> {
  try {
    const answer = await send(method, path, body, options)
    return { answer, reason: String(answer.status) }
  } catch (error) {
    options.signal?.throwIfAborted()
    if (error instanceof ApiError) throw error
    const { code, message } = error as { code?: string; message?: string }
    return { answer: undefined, reason: code ?? message ?? String(error) }
  }
}

function isTransient({ status }: Answer): boolean {
  return status === 429 || (status >= 500 && status !== 501)
}
