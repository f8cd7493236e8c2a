import type { RoomHead } from '../room-head.ts'

/** What holds the gate of a room's head. */
export interface HeldGate {
  readonly head: RoomHead
  /** Resolves when everything built on the head before is committed or refused: from then on PostgreSQL has what the head has. */
  quiet(): Promise<void>
}

/**
 * Keeps a head to one piece of work that has to wait in between: what this server's users send to the room meanwhile is built
 * after it. The head stays in the cache as long.
 */
export async function withGate<T>(
  head: RoomHead,
  heads: { settled(head: RoomHead): void },
  work: (gate: HeldGate) => Promise<T>,
): Promise<T> {
  while (head.gate !== undefined) await head.gate
  const { promise, resolve } = Promise.withResolvers<void>()
  head.gate = promise
  head.pending++
  const quiet = async () => {
    while (head.pending > 1) {
      await new Promise<void>((settled) => {
        head.onSettled = settled
      })
    }
  }
  try {
    return await work({ head, quiet })
  } finally {
    head.onSettled = undefined
    head.gate = undefined
    heads.settled(head)
    resolve()
  }
}
